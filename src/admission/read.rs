//! Bytes to a request, in one pass.

use bumpalo::Bump;

use super::pod::Content;
use super::{API_VERSION, KIND, Kind, Malformed, Operation, Request, Resource, UID_MAX};
use crate::json::reader::{Error, Reader};
use crate::json::seen::Seen;

/// The fields of a review as they come, each at most once.
#[derive(Default)]
struct Review<'a> {
    api_version: Option<&'a str>,
    kind: Option<&'a str>,
    /// Whether it came.
    request: Option<()>,
    /// What it has.
    fields: Fields<'a>,
}

/// The fields of a request as they come, each at most once.
#[derive(Default)]
struct Fields<'a> {
    uid: Option<&'a str>,
    kind: Option<Kind<'a>>,
    resource: Option<Resource<'a>>,
    sub_resource: Option<&'a str>,
    namespace: Option<&'a str>,
    operation: Option<Operation>,
    object: Option<Content<'a>>,
    old_object: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Reads a review, faster where it is like one that was `seen`. Strings that have escapes are put into `arena`.
    ///
    /// # Errors
    /// When the body is not exactly one review of the version that is spoken here.
    pub fn read(body: &'a [u8], arena: &'a Bump, seen: &'a Seen) -> Result<Self, Malformed> {
        if body.is_empty() {
            return Err(Malformed::Empty);
        }
        let text = simdutf8::compat::from_utf8(body)
            .map_err(|error| Malformed::Encoding(error.valid_up_to()))?;
        let mut reader = Reader::new(text, arena).with(seen);
        let mut review = Review::default();
        review.fill(&mut reader)?;
        reader.end()?;
        let required = |name| missing(&reader, name);
        let api_version = review.api_version.ok_or_else(|| required("apiVersion"))?;
        let kind = review.kind.ok_or_else(|| required("kind"))?;
        if api_version != API_VERSION || kind != KIND {
            return Err(Malformed::Version {
                api_version: api_version.to_string(),
                kind: kind.to_string(),
            });
        }
        let Review {
            request, fields, ..
        } = review;
        request.ok_or(Malformed::NoRequest)?;
        let uid = fields.uid.ok_or_else(|| required("uid"))?;
        if uid.is_empty() || uid.len() > UID_MAX {
            return Err(Malformed::Uid(uid.len()));
        }
        let kind = fields.kind.ok_or_else(|| required("kind"))?;
        let resource = fields.resource.ok_or_else(|| required("resource"))?;
        let mut request = Self {
            uid,
            kind,
            resource,
            sub_resource: fields.sub_resource.unwrap_or_default(),
            namespace: fields.namespace.unwrap_or_default(),
            operation: fields.operation.ok_or_else(|| required("operation"))?,
            object: fields.object.unwrap_or_default(),
            old_object: fields.old_object.filter(|&old| old != "null"),
        };
        if let (true, &Content::Text(object)) = (request.resource.is("", "pods"), &request.object) {
            request.object = Content::read_pod(&mut Reader::new(object, arena))?;
        }
        Ok(request)
    }
}

impl<'a> Review<'a> {
    fn fill(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.object(|reader, key| match key {
            "apiVersion" => reader.once(key, &mut self.api_version, Reader::string),
            "kind" => reader.once(key, &mut self.kind, Reader::string),
            "request" => reader.once(key, &mut self.request, |reader| self.fields.fill(reader)),
            _ => reader.skip(),
        })
    }
}

impl<'a> Fields<'a> {
    /// Whether the object that comes next may be a Pod: an API server says what it is before it sends it.
    fn is_about_pods(&self) -> bool {
        let resource = self.resource.as_ref();
        resource.is_some_and(|resource| resource.is("", "pods"))
    }

    fn fill(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.object(|reader, key| match key {
            "uid" => reader.once(key, &mut self.uid, Reader::string),
            "kind" => reader.once(key, &mut self.kind, Kind::read),
            "resource" => reader.once(key, &mut self.resource, Resource::read),
            "subResource" => reader.once(key, &mut self.sub_resource, Reader::string_or_null),
            "namespace" => reader.once(key, &mut self.namespace, Reader::string_or_null),
            "operation" => reader.once(key, &mut self.operation, Operation::read),
            "oldObject" => reader.once(key, &mut self.old_object, Reader::raw),
            "object" if self.is_about_pods() => {
                reader.once(key, &mut self.object, Content::read_pod)
            }
            "object" => reader.once(key, &mut self.object, Content::read),
            _ => reader.skip(),
        })
    }
}

impl<'a> Kind<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut kind = None;
        reader.object(|reader, key| match key {
            "kind" => reader.once(key, &mut kind, Reader::string),
            _ => reader.skip(),
        })?;
        let kind = kind.ok_or_else(|| missing(reader, "kind"))?;
        Ok(Self { kind })
    }
}

impl<'a> Resource<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let (mut group, mut resource) = (None, None);
        reader.object(|reader, key| match key {
            "group" => reader.once(key, &mut group, Reader::string_or_null),
            "resource" => reader.once(key, &mut resource, Reader::string),
            _ => reader.skip(),
        })?;
        let resource = resource.ok_or_else(|| missing(reader, "resource"))?;
        Ok(Self {
            group: group.unwrap_or_default(),
            resource,
        })
    }
}

impl Operation {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match reader.string()? {
            "CREATE" => Self::Create,
            "UPDATE" => Self::Update,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            _ => return Err(reader.unexpected("expected CREATE, UPDATE, DELETE or CONNECT")),
        })
    }
}

fn missing(reader: &Reader<'_>, name: &str) -> Error {
    reader.unexpected(format_args!("the field {name} is missing"))
}
