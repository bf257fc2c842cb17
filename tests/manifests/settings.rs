//! The manifests and the program mean the same.

use agentteam_webhook::cli::Cli;
use clap::CommandFactory;
use serde_json::{Value, json};

use crate::render::{find, kustomize, path};
use crate::rig::Rig;
use crate::tools::helm_template;

fn overlays() -> [Vec<Value>; 2] {
    ["self-signed", "cert-manager"]
        .map(|overlay| kustomize(Rig::get(), &path("manifests/overlays").join(overlay)))
}

/// The configurations, Deployment, Service and policy agree on where the webhook is.
#[test]
fn ports_and_names_lead_to_the_webhook() {
    for objects in overlays() {
        let named = |kind| find(&objects, kind, "agentteam-webhook");
        for kind in [
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        ] {
            for entry in named(kind)["webhooks"].as_array().unwrap() {
                let service = &entry["clientConfig"]["service"];
                assert_eq!(service["name"], named("Service")["metadata"]["name"]);
                assert_eq!(
                    service["namespace"],
                    named("Service")["metadata"]["namespace"]
                );
                assert_eq!(
                    service["port"],
                    named("Service")["spec"]["ports"][0]["port"]
                );
            }
        }
        let template = &named("Deployment")["spec"]["template"];
        let container = &template["spec"]["containers"][0];
        let port = &container["ports"][0];
        assert_eq!(
            named("Service")["spec"]["ports"][0]["targetPort"],
            port["name"]
        );
        assert_eq!(
            default_of("listen"),
            format!("0.0.0.0:{}", port["containerPort"])
        );
        assert_eq!(
            default_of("admin-listen"),
            format!("0.0.0.0:{}", container["ports"][1]["containerPort"])
        );
        let policy = &named("NetworkPolicy")["spec"];
        assert_eq!(
            policy["ingress"],
            json!([{"ports": [{"protocol": "TCP", "port": port["containerPort"]}]}])
        );
        let labels = &template["metadata"]["labels"];
        for selector in [
            &named("Deployment")["spec"]["selector"]["matchLabels"],
            &named("Service")["spec"]["selector"],
            &named("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            &policy["podSelector"]["matchLabels"],
        ] {
            assert_eq!(selector, labels);
        }
    }
}

/// What the Deployment runs with is understood by the program: each variable is one of its flags, and takes the value.
#[test]
fn the_program_takes_its_variables() {
    let mut renderings = overlays().to_vec();
    let values =
        "group=claude.amcheste.io,requireDigest=true,allowedRegistries[0]=ghcr.io/example/*";
    renderings.push(helm_template(&["--set", values]).unwrap());
    for objects in renderings {
        let deployment = find(&objects, "Deployment", "agentteam-webhook");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let mut command = vec!["agentteam-webhook".to_owned()];
        for argument in container["args"].as_array().unwrap() {
            command.push(argument.as_str().unwrap().to_owned());
        }
        let variables = container["env"].as_array().unwrap().iter();
        let own = variables.filter(|variable| variable["name"] != "HOSTNAME");
        for variable in own {
            let name = variable["name"].as_str().unwrap();
            let flag = name.strip_prefix("AGENTTEAM_WEBHOOK_").unwrap();
            command.push(format!("--{}", flag.to_lowercase().replace('_', "-")));
            match variable["value"].as_str().unwrap() {
                "true" => {}
                value => command.push(value.to_owned()),
            }
        }
        assert!(command.len() > 6, "{command:?}");
        let taken = Cli::command().try_get_matches_from(&command);
        assert!(taken.is_ok(), "{command:?}: {}", taken.unwrap_err());
    }
}

/// Labelled Pods of the webhook's own namespace and of kube-system never wait for the webhook.
#[test]
fn its_own_namespace_is_excluded() {
    for objects in overlays() {
        let configuration = find(
            &objects,
            "MutatingWebhookConfiguration",
            "agentteam-webhook",
        );
        for entry in configuration["webhooks"].as_array().unwrap() {
            let excluded = &entry["namespaceSelector"]["matchExpressions"][0];
            let expected = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "agentteam-system"]});
            assert_eq!(excluded, &expected);
        }
    }
}

/// A process that is told to end has the time for what it does then.
#[test]
fn it_may_drain_before_it_is_killed() {
    // How long connections may take to close after the drain: CLOSE_TIMEOUT in src/server/listen.rs.
    const CLOSE_SECONDS: u64 = 15;
    for objects in overlays() {
        let pod = &find(&objects, "Deployment", "agentteam-webhook")["spec"]["template"]["spec"];
        let drain: u64 = default_of("drain-seconds").parse().unwrap();
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > drain + CLOSE_SECONDS);
    }
}

fn default_of(flag: &str) -> String {
    let mut command = Cli::command();
    command.build();
    let serve = command.find_subcommand("serve").unwrap();
    let flag = serve
        .get_arguments()
        .find(|argument| argument.get_long() == Some(flag))
        .unwrap();
    flag.get_default_values()[0].to_str().unwrap().to_owned()
}
