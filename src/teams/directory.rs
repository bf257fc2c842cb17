//! Teams from YAML or JSON files: for a laptop, for tests, and for the command line.
//!
//! A bad file does not keep the others from being read. Files are polled and not watched, because the mounts of
//! `ConfigMaps` are swapped by symlink, which many watches miss.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use thiserror::Error;

use super::{Index, Sync};
use crate::api::{Group, KIND, Keys, VERSION};
use crate::team::{Identity, Team};
use crate::yaml;

/// The namespace of a team whose file names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// How often the directory is looked at.
const POLL: Duration = Duration::from_secs(1);

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The teams.
    pub teams: Vec<Team>,
    /// Where each of the teams was found.
    pub places: Vec<Place>,
    /// What could not be read.
    pub problems: Vec<FileProblem>,
    /// The namespaces and names of `teams`.
    known: HashSet<(Box<str>, Box<str>)>,
}

/// A file, or a document in it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line that the document begins at.
    pub line: Option<usize>,
}

/// A file, or a document in it, that holds no readable team.
#[derive(Debug, Error)]
#[error("{place}: {problem}")]
pub struct FileProblem {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
}

impl Display for Place {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.path.display())?;
        self.line
            .map_or(Ok(()), |line| write!(formatter, ":{line}"))
    }
}

/// Reads every team in `path`: a file, or a directory's `.yaml`, `.yml` and `.json` files.
///
/// # Errors
/// When the directory itself cannot be read. What is wrong with a file stands in [`Loaded::problems`].
pub fn load(path: &Path, group: &Group) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    loaded.add(path, group)?;
    Ok(loaded)
}

impl Loaded {
    /// Reads every team in `path` too, as [`load`] does.
    ///
    /// # Errors
    /// When the directory itself cannot be read.
    pub fn add(&mut self, path: &Path, group: &Group) -> io::Result<()> {
        for file in files(path)? {
            match fs::read_to_string(&file) {
                Ok(text) => self.add_text(&text, &file, group),
                Err(error) => self.problems.push(FileProblem {
                    place: Place {
                        path: file,
                        line: None,
                    },
                    problem: format!("cannot be read: {error}"),
                }),
            }
        }
        Ok(())
    }

    /// Reads every team in `text`, which came from `file`; those in a List too.
    pub fn add_text(&mut self, text: &str, file: &Path, group: &Group) {
        for document in yaml::documents(text) {
            let place = Place {
                path: file.to_owned(),
                line: Some(document.line),
            };
            match document.parse() {
                Ok(object) => self.add_object(&object, &place, group),
                Err(error) => self.report(&place, error.to_string()),
            }
        }
    }

    fn add_object(&mut self, object: &Value, place: &Place, group: &Group) {
        let is_list = object["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("List"));
        if let (true, Some(items)) = (is_list, object["items"].as_array()) {
            for item in items {
                self.add_object(item, place, group);
            }
            return;
        }
        match team(object, group) {
            Ok(None) => {}
            Ok(Some(team)) => {
                let name = (team.namespace.clone(), team.name.clone());
                if self.known.insert(name) {
                    self.teams.push(team);
                    self.places.push(place.clone());
                } else {
                    let name = format!("{}/{}", team.namespace, team.name);
                    self.report(place, format!("AgentTeam {name} was read before"));
                }
            }
            Err(problem) => self.report(place, problem),
        }
    }

    fn report(&mut self, place: &Place, problem: String) {
        self.problems.push(FileProblem {
            place: place.clone(),
            problem,
        });
    }
}

/// Keeps `index` as the directory is, for ever.
///
/// `bad_files` is set to the number of problems each time the directory is read.
pub async fn watch(
    path: PathBuf,
    group: Group,
    index: Arc<Index>,
    sync: Arc<Sync>,
    bad_files: Arc<AtomicI64>,
) {
    let mut seen = None;
    loop {
        let (path, group) = (path.clone(), group.clone());
        let before = seen.take();
        let read = tokio::task::spawn_blocking(move || {
            let now = fingerprint(&path)?;
            let loaded = if before.as_ref() == Some(&now) {
                None
            } else {
                Some(load(&path, &group)?)
            };
            io::Result::Ok((now, loaded))
        });
        match read.await {
            Ok(Ok((fingerprint, loaded))) => {
                seen = Some(fingerprint);
                if let Some(loaded) = loaded {
                    for problem in &loaded.problems {
                        tracing::warn!(%problem, "a team file is left out");
                    }
                    bad_files.store(
                        i64::try_from(loaded.problems.len()).unwrap_or(i64::MAX),
                        Ordering::Relaxed,
                    );
                    index.replace(loaded.teams);
                    tracing::info!(teams = index.len(), "teams are known");
                    sync.done();
                }
            }
            Ok(Err(error)) => {
                let problem = format!("the directory of teams cannot be read: {error}");
                tracing::warn!(problem, "the teams that are known stay");
                sync.waits(problem);
            }
            // The runtime is shutting down.
            Err(_) => return,
        }
        tokio::time::sleep(POLL).await;
    }
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let is_team_file = file
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|&e| extension == e));
        if is_team_file && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Modification time, length and true path of each file.
type Fingerprint = BTreeMap<PathBuf, (Option<SystemTime>, u64, PathBuf)>;

/// Tells whether any file changed, without reading them.
fn fingerprint(path: &Path) -> io::Result<Fingerprint> {
    let mut print = Fingerprint::new();
    for file in files(path)? {
        let metadata = fs::metadata(&file)?;
        let target = fs::canonicalize(&file)?;
        print.insert(file, (metadata.modified().ok(), metadata.len(), target));
    }
    Ok(print)
}

/// The team in `object`, or nothing where it is of another kind.
fn team(object: &Value, group: &Group) -> Result<Option<Team>, String> {
    if object["kind"] != KIND {
        return Ok(None);
    }
    let api_version = format!("{group}/{VERSION}");
    if object["apiVersion"] != api_version.as_str() {
        return Err(format!(
            "the AgentTeam's apiVersion is {}, and {api_version} is served",
            object["apiVersion"]
        ));
    }
    let mut identity = Identity::of(&object["metadata"], &Keys::of(group));
    if identity.name.is_empty() {
        return Err("the AgentTeam has no metadata.name".to_owned());
    }
    if identity.namespace.is_empty() {
        DEFAULT_NAMESPACE.clone_into(&mut identity.namespace);
    }
    // What was copied from a cluster while it was deleted there is meant to be served here.
    identity.deleting = false;
    Ok(Some(Team::read(identity, &object["spec"])))
}
