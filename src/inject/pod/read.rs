//! The JSON of a Pod to the view of it.
//!
//! `null` is an absent field, as the API server reads it, and what is not looked at is skipped. What is looked at and comes twice is
//! refused.

use super::{Container, Metadata, Mount, Named, Pairs, Pod, SecurityContext, Spec, Volume};
use crate::json::reader::{Error, Reader, Unread};

/// How many labels, or annotations, there is room for at first: as many as most Pods have.
const PAIRS: usize = 16;

impl<'a> Pod<'a> {
    /// Reads a Pod, or the Pod template of a workload.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut pod = Self::default();
        pod.fill(reader)?;
        Ok(pod)
    }

    /// The same, in place.
    pub(crate) fn fill(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        let (mut metadata, mut spec) = (None, None);
        reader.object(|reader, key| match key {
            "kind" => field(reader, key, &mut self.kind, Reader::string),
            "metadata" => {
                let fill = |reader: &mut Reader<'a>| self.metadata.fill(reader);
                field(reader, key, &mut metadata, fill)
            }
            "spec" => {
                let fill = |reader: &mut Reader<'a>| self.spec.fill(reader);
                field(reader, key, &mut spec, fill)
            }
            _ => reader.skip(),
        })
    }
}

impl<'a> Metadata<'a> {
    fn fill(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.object(|reader, key| match key {
            "name" => field(reader, key, &mut self.name, Reader::string),
            "generateName" => field(reader, key, &mut self.generate_name, Reader::string),
            "namespace" => field(reader, key, &mut self.namespace, Reader::string),
            "labels" => field(reader, key, &mut self.labels, Pairs::read),
            "annotations" => field(reader, key, &mut self.annotations, Pairs::unread),
            "managedFields" => reader.or_skip(skip_managed_fields).map(drop),
            _ => reader.skip(),
        })
    }
}

/// Skips who manages which fields. The fields take up to half of a review, are the same in all Pods of a workload, and are told by
/// their names, without a value.
fn skip_managed_fields(reader: &mut Reader<'_>) -> Result<(), Error> {
    let managers = reader.list(|reader| {
        reader.object(|reader, key| match key {
            "fieldsV1" => reader.skip_common(),
            _ => reader.skip(),
        })
    });
    managers.map(drop)
}

impl<'a> Spec<'a> {
    fn fill(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.object(|reader, key| match key {
            "containers" => list(reader, key, &mut self.containers, Container::read),
            "initContainers" => list(reader, key, &mut self.init_containers, Container::read),
            "volumes" => list(reader, key, &mut self.volumes, Volume::read),
            "imagePullSecrets" => list(reader, key, &mut self.image_pull_secrets, Named::read),
            "restartPolicy" => field(reader, key, &mut self.restart_policy, Reader::string),
            "os" => field(reader, key, &mut self.os, Named::read),
            "nodeSelector" => field(reader, key, &mut self.node_selector, Pairs::read),
            "hostNetwork" => field(reader, key, &mut self.host_network, Reader::boolean),
            "securityContext" => {
                let read = SecurityContext::read;
                field(reader, key, &mut self.security_context, read)
            }
            _ => reader.skip(),
        })
    }
}

impl<'a> Container<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let (mut container, mut name) = (Self::default(), None);
        reader.object(|reader, key| match key {
            "name" => field(reader, key, &mut name, Reader::string),
            "image" => field(reader, key, &mut container.image, Reader::string),
            "command" => list(reader, key, &mut container.command, Reader::string_or_null),
            "args" => list(reader, key, &mut container.args, Reader::string_or_null),
            "restartPolicy" => field(reader, key, &mut container.restart_policy, Reader::string),
            "volumeMounts" => list(reader, key, &mut container.volume_mounts, Mount::read),
            "securityContext" => {
                let read = SecurityContext::read;
                field(reader, key, &mut container.security_context, read)
            }
            _ => reader.skip(),
        })?;
        container.name = name.unwrap_or_default();
        Ok(container)
    }
}

impl SecurityContext {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut context = Self::default();
        only(
            reader,
            "runAsUser",
            &mut context.run_as_user,
            Reader::integer,
        )?;
        Ok(context)
    }
}

impl<'a> Mount<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let (mut name, mut mount_path) = (None, None);
        reader.object(|reader, key| match key {
            "name" => field(reader, key, &mut name, Reader::string),
            "mountPath" => field(reader, key, &mut mount_path, Reader::string),
            _ => reader.skip(),
        })?;
        Ok(Self {
            name: name.unwrap_or_default(),
            mount_path: mount_path.unwrap_or_default(),
        })
    }
}

impl<'a> Named<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut named = Self::default();
        only(reader, "name", &mut named.name, Reader::string)?;
        Ok(named)
    }
}

impl<'a> Volume<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let (mut volume, mut name) = (Self::default(), None);
        reader.object(|reader, key| {
            if reader.null()? {
                return Ok(());
            }
            match key {
                "name" => return reader.once(key, &mut name, Reader::string),
                "configMap" => volume.read_config_map(reader)?,
                "image" => only(reader, "reference", &mut volume.image, Reader::string)?,
                _ => reader.skip()?,
            }
            volume.kind = key;
            Ok(())
        })?;
        volume.name = name.unwrap_or_default();
        Ok(volume)
    }

    fn read_config_map(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.object(|reader, key| match key {
            "name" => field(reader, key, &mut self.config_map, Reader::string),
            "items" => {
                self.has_items = !reader.null()?;
                if self.has_items {
                    reader.skip()
                } else {
                    Ok(())
                }
            }
            _ => reader.skip(),
        })
    }
}

impl<'a> Pairs<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        pairs(reader, Reader::string_or_null).map(Self)
    }
}

impl<'a> Pairs<'a, Unread<'a>> {
    fn unread(reader: &mut Reader<'a>) -> Result<Self, Error> {
        pairs(reader, Reader::unread_string).map(Self)
    }
}

fn pairs<'a, V>(
    reader: &mut Reader<'a>,
    value: impl Fn(&mut Reader<'a>) -> Result<V, Error>,
) -> Result<Vec<(&'a str, V)>, Error> {
    let mut pairs = Vec::with_capacity(PAIRS);
    reader.object(|reader, key| {
        pairs.push((key, value(reader)?));
        Ok(())
    })?;
    Ok(pairs)
}

/// Reads an object of which only one field is looked at.
#[inline]
fn only<'a, T>(
    reader: &mut Reader<'a>,
    name: &str,
    value: &mut Option<T>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<(), Error> {
    reader.object(|reader, key| {
        if key == name {
            field(reader, key, value, &read)
        } else {
            reader.skip()
        }
    })
}

/// Reads a field of an object.
#[inline]
fn field<'a, T>(
    reader: &mut Reader<'a>,
    key: &str,
    field: &mut Option<T>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<(), Error> {
    if reader.null()? {
        return Ok(());
    }
    reader.once(key, field, read)
}

/// Reads a field that is a list.
#[inline]
fn list<'a, T>(
    reader: &mut Reader<'a>,
    key: &str,
    items: &mut Option<Vec<T>>,
    item: impl Fn(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<(), Error> {
    field(reader, key, items, |reader| reader.list(item))
}
