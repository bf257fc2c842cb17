//! A document's events become one value.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, StructureStyle, Tag};
use serde_json::{Map, Value};

use super::resolve::{self, Scalar};
use super::{Error, MAX_DEPTH, Problem};

/// What aliases may repeat in all, in about the bytes that it takes up: more than the API server takes in
/// one request, and nothing like what a bomb of aliases wants.
const MAX_REPEATED: usize = 8 << 20;

/// About what a value takes up besides its text.
const VALUE_SIZE: usize = 32;

/// Where the namespace of `!!str` begins.
const CORE: &str = "tag:yaml.org,2002:";

/// The one document of `text`.
pub(super) fn read(text: &str) -> Result<Value, Error> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.emit_anchor_events = true;
    let mut tree = Tree {
        text,
        events: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        repeated: 0,
        flow: 0,
    };
    let mut root = None;
    loop {
        match tree.next()? {
            (Event::StreamEnd, _) => return Ok(root.unwrap_or_default()),
            (Event::DocumentStart(..), at) if root.is_some() => {
                return Err(at.error(Problem::SecondDocument));
            }
            (Event::DocumentStart(..), _) => {
                let (event, at) = tree.next()?;
                let node = tree.node(event, at, 0)?;
                root = Some(node.into_value().map_err(|problem| at.error(problem))?);
            }
            _ => {}
        }
    }
}

struct Tree<'a> {
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Anchor>,
    repeated: usize,
    /// How many of the collections that are open stand in `[` or `{`, from the outermost such on.
    flow: usize,
}

struct Anchor {
    node: Node,
    size: Size,
}

/// Scalars keep their type until it is known whether they are keys or values.
#[derive(Clone)]
enum Node {
    Scalar(Scalar),
    Collection(Value),
}

/// Where an event begins.
#[derive(Clone, Copy)]
struct At {
    line: usize,
    column: usize,
}

impl<'a> Tree<'a> {
    fn next(&mut self) -> Result<(Event<'a>, At), Error> {
        loop {
            match self.events.next_event() {
                Some(Ok((event, span))) => {
                    let at = At::from(&span.start);
                    self.check(&event, &span).map_err(|it| at.error(it))?;
                    if !matches!(event, Event::Anchor(..)) {
                        return Ok((event, at));
                    }
                }
                Some(Err(error)) => {
                    let problem = Problem::Syntax(error.kind().to_string());
                    return Err(At::from(error.marker()).error(problem));
                }
                None => return Ok((Event::StreamEnd, At { line: 1, column: 1 })),
            }
        }
    }

    /// Finds what YAML 1.2 reads and libyaml would read otherwise.
    fn check(&mut self, event: &Event<'_>, span: &Span) -> Result<(), Problem> {
        match event {
            Event::Anchor(_, name) if !is_name(name) => return Err(Problem::Anchor),
            Event::SequenceStart(style, ..) | Event::MappingStart(style, ..)
                if self.flow > 0 || *style == StructureStyle::Flow =>
            {
                self.flow += 1;
            }
            Event::SequenceEnd | Event::MappingEnd => self.flow = self.flow.saturating_sub(1),
            _ => {}
        }
        if self.flow > 0 && self.is_ambiguous(event, span) {
            return Err(Problem::Flow);
        }
        Ok(())
    }

    /// In flow collections libyaml takes `?` for an indicator before anything, the `:` of `{a:,}` and the comma of
    /// `[!tag, a]` for a part of what is before them.
    fn is_ambiguous(&self, event: &Event<'_>, span: &Span) -> bool {
        let after = |span: Span| span.byte_range().and_then(|it| self.text.get(it.end..));
        let tag = span.tag_span().and_then(after);
        if tag.is_some_and(|after| after.starts_with([',', '[', ']'])) {
            return true;
        }
        let Event::Scalar(text, ScalarStyle::Plain, ..) = event else {
            return false;
        };
        let colon = after(*span).and_then(|after| after.trim_start().strip_prefix(':'));
        text.starts_with('?')
            || (text.starts_with(':') && tag.is_some())
            || colon.is_some_and(|after| after.starts_with([',', '[', ']', '{', '}']))
    }

    fn node(&mut self, event: Event<'a>, at: At, depth: usize) -> Result<Node, Error> {
        let is_collection = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..));
        if is_collection && depth >= MAX_DEPTH {
            return Err(at.error(Problem::TooDeep));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar(&text, style, tag.as_deref());
                let scalar = scalar.map_err(|problem| at.error(problem))?;
                (Node::Scalar(scalar), anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                (Node::Collection(self.sequence(depth + 1)?), anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                (Node::Collection(self.mapping(depth + 1)?), anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, at, depth),
            _ => return Err(at.error(Problem::Syntax("a value was expected".to_owned()))),
        };
        if anchor != 0 {
            let size = node.size();
            self.repeat(size, at)?;
            let node = node.clone();
            self.anchors.insert(anchor, Anchor { node, size });
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, at) => items.push(self.value(event, at, depth)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, Error> {
        let mut map = Map::new();
        let mut own = HashSet::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Object(map));
            }
            if is_merge(&event) {
                self.merge(&mut map, depth)?;
                continue;
            }
            let key = self.node(event, at, depth)?;
            let key = key.into_key().map_err(|problem| at.error(problem))?;
            if !own.insert(key.clone()) {
                return Err(at.error(Problem::Duplicate(key)));
            }
            let (event, at) = self.next()?;
            map.insert(key, self.value(event, at, depth)?);
        }
    }

    /// As go-yaml v2 does it: what is merged replaces what stands above it, even the mapping's own keys.
    fn merge(&mut self, map: &mut Map<String, Value>, depth: usize) -> Result<(), Error> {
        let (event, at) = self.next()?;
        let is_alias = matches!(event, Event::Alias(_));
        match self.value(event, at, depth)? {
            Value::Object(merged) => map.extend(merged),
            Value::Array(items) if !is_alias => {
                for item in items.into_iter().rev() {
                    let Value::Object(merged) = item else {
                        return Err(at.error(Problem::Merge));
                    };
                    map.extend(merged);
                }
            }
            _ => return Err(at.error(Problem::Merge)),
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: At, depth: usize) -> Result<Node, Error> {
        let Some(Anchor { node, size }) = self.anchors.get(&anchor) else {
            return Err(at.error(Problem::Recursion));
        };
        let (node, size) = (node.clone(), *size);
        if depth + size.depth > MAX_DEPTH {
            return Err(at.error(Problem::TooDeep));
        }
        self.repeat(size, at)?;
        Ok(node)
    }

    fn repeat(&mut self, size: Size, at: At) -> Result<(), Error> {
        self.repeated = self.repeated.saturating_add(size.bytes);
        if self.repeated > MAX_REPEATED {
            return Err(at.error(Problem::TooManyAliases));
        }
        Ok(())
    }

    fn value(&mut self, event: Event<'a>, at: At, depth: usize) -> Result<Value, Error> {
        let node = self.node(event, at, depth)?;
        node.into_value().map_err(|problem| at.error(problem))
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar, Problem> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain {
            resolve::plain(text)
        } else {
            Scalar::Text(text.to_owned())
        });
    };
    match tag.suffix_in_namespace(CORE) {
        Some(name) => resolve::tagged(&name, text),
        None => Ok(Scalar::Text(text.to_owned())),
    }
}

/// What YAML 1.1 in libyaml's reading takes for the name of an anchor. YAML 1.2 takes more, `:` among it.
fn is_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_merge(event: &Event<'_>) -> bool {
    let Event::Scalar(text, style, _, tag) = event else {
        return false;
    };
    text == "<<"
        && match tag.as_deref() {
            None => *style == ScalarStyle::Plain,
            Some(tag) => {
                tag.parts() == ("", "!")
                    || tag.suffix_in_namespace(CORE).as_deref() == Some("merge")
            }
        }
}

impl Node {
    fn into_value(self) -> Result<Value, Problem> {
        match self {
            Self::Scalar(scalar) => scalar.into_value(),
            Self::Collection(value) => Ok(value),
        }
    }

    fn into_key(self) -> Result<String, Problem> {
        match self {
            Self::Scalar(scalar) => scalar.into_key(),
            Self::Collection(_) => Err(Problem::Key),
        }
    }

    fn size(&self) -> Size {
        match self {
            Self::Scalar(Scalar::Text(text)) => Size::leaf(text.len()),
            Self::Scalar(_) => Size::leaf(0),
            Self::Collection(value) => Size::of(value),
        }
    }
}

/// What a value costs to repeat.
#[derive(Clone, Copy)]
struct Size {
    bytes: usize,
    depth: usize,
}

impl Size {
    fn leaf(text: usize) -> Self {
        Self {
            bytes: VALUE_SIZE + text,
            depth: 0,
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::leaf(text.len()),
            Value::Array(items) => {
                let items = items.iter().map(Self::of);
                items.fold(Self::collection(), Self::with)
            }
            Value::Object(map) => {
                let items = map.iter().map(|(key, item)| {
                    let size = Self::of(item);
                    let bytes = size.bytes + key.len();
                    Self { bytes, ..size }
                });
                items.fold(Self::collection(), Self::with)
            }
            _ => Self::leaf(0),
        }
    }

    fn collection() -> Self {
        Self {
            depth: 1,
            ..Self::leaf(0)
        }
    }

    fn with(self, item: Self) -> Self {
        Self {
            bytes: self.bytes + item.bytes,
            depth: self.depth.max(item.depth + 1),
        }
    }
}

impl From<&Marker> for At {
    fn from(marker: &Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

impl At {
    fn error(self, problem: Problem) -> Error {
        Error {
            line: self.line,
            column: self.column,
            problem,
        }
    }
}
