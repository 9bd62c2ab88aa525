//! ServiceAccounts' tokens for pods, from the TokenRequest API, renewed as a kubelet does: at four fifths of their life.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

const DEFAULT_SECONDS: i64 = 3600;

/// One pod's tokens, by the path that they are mounted at.
pub(super) struct Tokens {
    client: Client,
    held: BTreeMap<String, (String, Instant)>,
}

impl Tokens {
    pub fn new(client: Client) -> Self {
        Self { client, held: BTreeMap::new() }
    }

    /// The token, which is bound to this pod: it is void when the pod is gone.
    pub async fn token(
        &mut self,
        pod: &Pod,
        wanted: &ServiceAccountTokenProjection,
    ) -> Result<String, String> {
        if let Some((token, _)) = self.held.get(&wanted.path).filter(|(_, renew)| Instant::now() < *renew) {
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
            .ok_or_else(|| format!("the API server gave no token of ServiceAccount {account}"))?;
        let life = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        self.held.insert(wanted.path.clone(), (token.clone(), Instant::now() + life * 4 / 5));
        Ok(token)
    }
}
