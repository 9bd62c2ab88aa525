//! Pods as local processes: the operator exactly as it is shipped, and what else a pod expects of its node.

use std::process::ExitCode;

use kcg_devcluster::{ControlPlane, Crds, Images, Node, Parts, Programs, deploy_folder, parts, pod_network};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    // What is fetched is fetched before the network is left behind.
    if !pod_network::is_inside() {
        return failed(&prepare());
    }
    let outcome =
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(tell()));
    match outcome {
        Ok(()) => {
            println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

fn prepare() -> String {
    let built: Outcome<Programs> = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            Parts::ensure(&parts::to_stderr).await?;
            Ok(Programs::build().await?)
        })
    });
    match built {
        Ok(programs) => pod_network::enter(&programs.variables()).to_string(),
        Err(error) => error.to_string(),
    }
}

async fn tell() -> Outcome {
    let programs = Programs::build().await?;
    let images = programs.iter().fold(Images::default(), |images, (name, program)| {
        images.with(&format!("thenextapps/{name}"), program)
    });
    let plane = ControlPlane::builder()
        .pod_network(true)
        .crds(Crds::all(deploy_folder()?.join("crd")))
        .start()
        .await?;
    let node = Node::start(&plane, "node-1", images).await?;
    let overlay = deploy_folder()?.join("overlays/cluster/self-managed");
    plane.kubectl(&["apply", "-k", &overlay.display().to_string()]).await?.ok()?;
    let wait = [
        "wait",
        "deployment",
        "--all",
        "-n=kconsumer-group-operator",
        "--for=condition=Available",
        "--timeout=60s",
    ];
    let waited = plane.kubectl(&wait).await?;
    println!("{waited:?}");
    println!("{:?}", plane.kubectl(&["get", "pods", "-A", "-o", "wide"]).await?);
    for run in node.runs() {
        println!("{} {:?} {:?}", run.pod, run.pid(), std::fs::read_to_string(run.log()));
    }
    println!(
        "{:?}",
        plane
            .kubectl(&["logs", "-n=kconsumer-group-operator", "deployment/kconsumer-group-operator-webhook"])
            .await?
    );
    println!(
        "{:?}",
        plane
            .kubectl(&["create", "-f", &deploy_folder()?.join("samples/bad-many.yaml").display().to_string()])
            .await?
    );
    println!("{:?}", plane.kubectl(&["get", "events", "-A"]).await?);
    Ok(())
}
