//! Credentials from docker configurations, and which of them are for a repository.

use std::collections::BTreeMap;
use std::env;
use std::fmt::{self, Debug, Formatter};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use wildmatch::WildMatch;

use super::failure::Failure;
use crate::json::{self, Object};
use crate::names::Shown;

/// What docker calls its own registry, and what images are named by.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Base64 as people write it, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What proves who we are. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that the registry's token service changes for another.
    IdentityToken(String),
    /// A token that the registry itself takes.
    RegistryToken(String),
}

/// The credentials of all configurations.
#[derive(Debug, Default)]
pub struct Credentials {
    entries: Vec<Entry>,
    helpers: Vec<Helper>,
}

/// The credential for a host, or for a part of its repositories.
#[derive(Debug)]
struct Entry {
    host: String,
    /// Empty, or the first parts of the repositories that it is for.
    path: String,
    credential: Credential,
}

/// A program that has the credentials for a host, or for all.
#[derive(Debug)]
struct Helper {
    host: Option<String>,
    name: String,
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: Option<BTreeMap<String, Object<Auth>>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
#[allow(clippy::struct_field_names, reason = "docker names them")]
struct Auth {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    #[serde(default)]
    registrytoken: Option<String>,
}

impl Credentials {
    /// Reads `files` in their order; with none, the configuration of docker itself, if there is one.
    ///
    /// # Errors
    /// When a file cannot be read, or is not a docker configuration.
    pub fn read(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut credentials = Self::default();
        for file in files {
            let text = std::fs::read(file).map_err(|error| invalid(file, &error.to_string()))?;
            credentials.add(file, &text)?;
        }
        if let (true, Some(file)) = (files.is_empty(), default_file()) {
            match std::fs::read(&file) {
                Ok(text) => credentials.add(&file, &text)?,
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(invalid(&file, &error.to_string())),
            }
        }
        Ok(credentials)
    }

    fn add(&mut self, file: &Path, text: &[u8]) -> Result<(), Failure> {
        let Object(config) = serde_json::from_slice::<Object<Config>>(text)
            .map_err(|error| invalid(file, &json::problem(&error)))?;
        for (key, Object(auth)) in config.auths.into_iter().flatten() {
            let credential = auth
                .credential()
                .map_err(|problem| invalid(file, &format!("auths {}: {problem}", Shown(&key))))?;
            if let Some(credential) = credential {
                let (host, path) = split(&key);
                self.entries.push(Entry {
                    host,
                    path,
                    credential,
                });
            }
        }
        let helper = |host, name| Helper {
            host,
            name,
            file: file.to_owned(),
        };
        for (key, name) in config.cred_helpers.into_iter().flatten() {
            self.helpers.push(helper(Some(split(&key).0), name));
        }
        if let Some(name) = config.creds_store.filter(|name| !name.is_empty()) {
            self.helpers.push(helper(None, name));
        }
        Ok(())
    }

    /// The credentials for a repository, in the order in which they are to be tried: those for the longest path first,
    /// those for exactly this host before those for many, and then as they were given.
    #[must_use]
    pub fn of(&self, host: &str, repository: &str) -> Vec<Credential> {
        let mut found: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.is_for(host, repository))
            .collect();
        // A stable sort: the order of the files decides among equals.
        found.sort_by_key(|entry| {
            (
                usize::MAX - entry.path.len(),
                entry.host.contains(['*', '?']),
            )
        });
        found
            .into_iter()
            .map(|entry| entry.credential.clone())
            .collect()
    }

    /// What to do about a registry that wants credentials, when there are none for it.
    #[must_use]
    pub fn advice(&self, host: &str) -> String {
        let is_for = |helper: &&Helper| {
            helper
                .host
                .as_deref()
                .is_none_or(|key| matches_host(key, host))
        };
        match self.helpers.iter().find(is_for) {
            Some(Helper { name, file, .. }) => format!(
                "{} names the credential helper {} for it, and no helper is ever run here; write the credentials themselves into its auths",
                file.display(),
                Shown(name)
            ),
            None => "there are no credentials for it; name its pull Secret in spec.imagePullSecrets of the team, or give \
                     its docker configuration by --registry-config"
                .to_owned(),
        }
    }
}

impl Entry {
    fn is_for(&self, host: &str, repository: &str) -> bool {
        let below = repository.strip_prefix(self.path.as_str());
        matches_host(&self.host, host)
            && below.is_some_and(|rest| {
                self.path.is_empty() || rest.is_empty() || rest.starts_with('/')
            })
    }
}

impl Auth {
    /// The credential, if there is one: an entry may be empty because a helper has it.
    fn credential(self) -> Result<Option<Credential>, &'static str> {
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = set(self.registrytoken) {
            return Ok(Some(Credential::RegistryToken(token)));
        }
        if let Some(token) = set(self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        let (user, password) = match set(self.auth) {
            Some(auth) => {
                const PROBLEM: &str = "auth is not user:password in base64";
                let auth: String = auth.split_ascii_whitespace().collect();
                let decoded = BASE64.decode(auth).map_err(|_| PROBLEM)?;
                let decoded = String::from_utf8(decoded).map_err(|_| PROBLEM)?;
                let (user, password) = decoded.split_once(':').ok_or(PROBLEM)?;
                (user.to_owned(), password.trim_end_matches('\0').to_owned())
            }
            None => match (set(self.username), set(self.password)) {
                (Some(user), Some(password)) => (user, password),
                (None, None) => return Ok(None),
                _ => return Err("username and password belong together"),
            },
        };
        Ok(Some(Credential::Password { user, password }))
    }
}

/// Which credential it is stays out of every log.
impl Debug for Credential {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential")
    }
}

fn default_file() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let directory = set("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".docker")))?;
    Some(directory.join("config.json"))
}

/// Host and path of a key. Docker writes some keys as addresses of its API, `https://host/v1/`.
fn split(key: &str) -> (String, String) {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    let path = path.trim_matches('/');
    let path = if matches!(path, "v1" | "v2") {
        ""
    } else {
        path
    };
    (host.to_ascii_lowercase(), path.to_owned())
}

/// Whether a key's host, in which * and ? may stand for a part of a label, is this one.
fn matches_host(key: &str, host: &str) -> bool {
    if DOCKER_HUB.contains(&host) && DOCKER_HUB.contains(&key) {
        return true;
    }
    key.split('.').count() == host.split('.').count()
        && key
            .split('.')
            .zip(host.split('.'))
            .all(|(key, label)| WildMatch::new(key).matches(label))
}

fn invalid(file: &Path, problem: &str) -> Failure {
    Failure::Configuration(format!(
        "{} is not a docker configuration that can be read: {problem}",
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn password(user: &str) -> Credential {
        Credential::Password {
            user: user.into(),
            password: "hunter2".into(),
        }
    }

    fn auth(user: &str) -> Value {
        json!({"auth": BASE64.encode(format!("{user}:hunter2"))})
    }

    fn read(configs: &[Value]) -> Result<Credentials, Failure> {
        let mut credentials = Credentials::default();
        for config in configs {
            credentials.add(Path::new("config.json"), config.to_string().as_bytes())?;
        }
        Ok(credentials)
    }

    #[test]
    fn the_most_specific_key_comes_first() {
        let credentials = read(&[
            json!({"auths": {"r.example": auth("host"), "*.example": auth("glob"), "other.example": auth("other")}}),
            json!({"auths": {"r.example/org/team": auth("path"), "r.example/org": auth("org"), "r.example": auth("second")}}),
        ])
        .unwrap();
        let users = |host: &str, repository: &str| -> Vec<_> {
            let found = credentials.of(host, repository);
            let user = |credential| match credential {
                Credential::Password { user, .. } => user,
                _ => panic!("it is a password"),
            };
            found.into_iter().map(user).collect()
        };
        assert_eq!(
            users("r.example", "org/team/skill"),
            ["path", "org", "host", "second", "glob"]
        );
        assert_eq!(users("r.example", "org/team")[0], "path");
        assert_eq!(
            users("r.example", "org/teamwork"),
            ["org", "host", "second", "glob"]
        );
        assert_eq!(
            users("r.example", "organisation/x"),
            ["host", "second", "glob"]
        );
        assert_eq!(users("x.example", "org/team"), ["glob"]);
        for nobody in [
            "r.example:5000",
            "a.r.example",
            "r.example.evil.com",
            "example",
        ] {
            assert!(users(nobody, "org/team").is_empty(), "{nobody}");
        }
    }

    #[test]
    fn keys_are_read_as_docker_writes_them() {
        for key in [
            "https://index.docker.io/v1/",
            "docker.io",
            "https://registry-1.docker.io/v2/",
        ] {
            let credentials = read(&[json!({"auths": {key: auth("u")}})]).unwrap();
            assert_eq!(
                credentials.of("docker.io", "org/x"),
                [password("u")],
                "{key}"
            );
        }
        let credentials = read(&[json!({"auths": {"http://R.example:5000/": auth("u")}})]).unwrap();
        assert_eq!(credentials.of("r.example:5000", "x").len(), 1);
    }

    #[test]
    fn every_form_of_a_credential_is_read() {
        let one = |entry: Value| {
            read(&[json!({"auths": {"r.example": entry}})])
                .unwrap()
                .of("r.example", "x")
        };
        assert_eq!(
            one(json!({"username": "u", "password": "hunter2"})),
            [password("u")]
        );
        assert_eq!(one(json!({"auth": "dTpodW50ZXIy\n"})), [password("u")]);
        let identity = json!({"auth": "", "identitytoken": "hunter2"});
        assert_eq!(one(identity), [Credential::IdentityToken("hunter2".into())]);
        assert_eq!(
            one(json!({"registrytoken": "hunter2"})),
            [Credential::RegistryToken("hunter2".into())]
        );
        for empty in [json!({}), json!({"auth": ""}), json!({"email": "x"})] {
            assert_eq!(one(empty), []);
        }
    }

    #[test]
    fn a_malformed_configuration_is_named_and_not_shown() {
        for bad in [
            json!([]),
            json!({"auths": []}),
            json!({"auths": "hunter2"}),
            json!({"auths": {"r.example": "hunter2"}}),
            json!({"auths": {"r.example": {"auth": "hunter2!"}}}),
            json!({"auths": {"r.example": {"auth": BASE64.encode("hunter2")}}}),
            json!({"auths": {"r.example": {"password": "hunter2"}}}),
            json!({"auths": {"r.example": {"auth": {"hunter2": 1}}}}),
            json!({"credHelpers": "hunter2"}),
        ] {
            let message = read(&[bad]).unwrap_err().to_string();
            assert!(message.starts_with("config.json is not"), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        let mut credentials = Credentials::default();
        assert!(credentials.add(Path::new("x"), b"{\"auths\": {").is_err());
        assert!(Credentials::read(&["/does/not/exist".into()]).is_err());
    }

    #[test]
    fn a_helper_is_named_where_it_would_have_been_needed() {
        let config = json!({"credHelpers": {"r.example": "ecr-login"}});
        let credentials = read(&[config]).unwrap();
        assert!(credentials.advice("r.example").contains("ecr-login"));
        assert!(!credentials.advice("other.example").contains("ecr-login"));
        let credentials = read(&[json!({"credsStore": "desktop"})]).unwrap();
        assert!(credentials.advice("any.example").contains("desktop"));
        let shown = format!(
            "{:?}",
            read(&[json!({"auths": {"r.example": auth("u")}})]).unwrap()
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
