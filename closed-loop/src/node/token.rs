//! Pods' ServiceAccount tokens from the TokenRequest API, renewed after four fifths of their
//! lifetime as a kubelet does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

const DEFAULT_SECONDS: i64 = 3600;

/// The tokens of one pod, by the paths of their files.
pub(super) struct Tokens {
    client: Client,
    tokens: BTreeMap<String, (String, Instant)>,
}

impl Tokens {
    pub(super) fn new(client: Client) -> Self {
        Self { client, tokens: BTreeMap::new() }
    }

    /// The token, bound to this pod: it becomes invalid when the pod is deleted.
    pub(super) async fn token(
        &mut self,
        pod: &Pod,
        wanted: &ServiceAccountTokenProjection,
    ) -> Result<String, String> {
        if let Some((token, _)) = self.tokens.get(&wanted.path).filter(|(_, renew)| Instant::now() < *renew) {
            return Ok(token.clone());
        }
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
        let account = account.unwrap_or_else(|| "default".to_owned());
        let seconds = wanted.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
        let spec = TokenRequestSpec {
            audiences: wanted.audience.clone().map(|audience| vec![audience]),
            expiration_seconds: Some(seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let api: Api<ServiceAccount> =
            Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let answer = api.create_token_request(&account, &PostParams::default(), &request).await;
        let token = answer
            .map_err(|error| format!("fetch a token of ServiceAccount {account}: {error}"))?
            .status
            .and_then(|status| status.token)
            .ok_or_else(|| format!("the API server returned no token of ServiceAccount {account}"))?;
        let life = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        self.tokens.insert(wanted.path.clone(), (token.clone(), Instant::now() + life * 4 / 5));
        Ok(token)
    }
}
