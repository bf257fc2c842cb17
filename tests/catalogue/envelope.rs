//! Rows 1–12: what is a review, and what is refused before anybody looks for a Pod.

use serde_json::{Value, json};

use super::client::{Client, post, review_request};
use super::review::{Session, assert_refused, pod, response, review};
use super::server::shared;
use super::teams::GOOD;

const JSON: &str = "content-type: application/json\r\n";

const BODY_MAX: usize = 7 << 20;

fn good() -> Value {
    review(&pod(GOOD, "lead"))
}

fn text(review: &Value) -> Vec<u8> {
    serde_json::to_vec(review).unwrap()
}

#[test]
fn row_01_methods_and_paths() {
    let mut session = Session::open();
    let body = text(&good());
    for method in ["GET", "PUT", "PATCH", "DELETE", "BREW"] {
        let request = String::from_utf8(review_request(&body)).unwrap();
        session.refused(request.replacen("POST", method, 1).as_bytes(), 405);
    }
    for path in [
        "/",
        "/mutate/",
        "/mutate/x",
        "//mutate",
        "/metrics",
        "/%6dutate",
        "/../mutate",
    ] {
        session.refused(&post(path, JSON, &body), 404);
    }
    let review = good();
    let request = post("/mutate?timeout=5s", JSON, &text(&review));
    let answer = Client::connect(shared()).exchange(&request).unwrap();
    assert_eq!(response(&answer, &review)["patchType"], "JSONPatch");
}

#[test]
fn row_02_content_type() {
    let mut session = Session::open();
    let review = good();
    let body = text(&review);
    for kind in [
        "text/plain",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "text/json",
        "",
        "\u{fffd}",
    ] {
        session.refused(
            &post("/mutate", &format!("content-type: {kind}\r\n"), &body),
            415,
        );
    }
    session.refused(&post("/mutate", "", &body), 415);
    for kind in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json ;x=y",
    ] {
        let request = post("/mutate", &format!("Content-Type: {kind}\r\n"), &body);
        let answer = Client::connect(shared()).exchange(&request).unwrap();
        assert_eq!(response(&answer, &review)["allowed"], true, "{kind}");
    }
}

#[test]
fn row_03_empty_body() {
    let mut session = Session::open();
    session.malformed(b"");
    session.malformed(b" \n");
    let without_length = format!("POST /mutate HTTP/1.1\r\nhost: x\r\n{JSON}\r\n");
    session.refused(without_length.as_bytes(), 400);
    let chunked = format!(
        "POST /mutate HTTP/1.1\r\nhost: x\r\n{JSON}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    session.refused(chunked.as_bytes(), 400);
}

#[test]
fn row_04_size() {
    let mut session = Session::open();
    let mut body = text(&good());
    body.resize(BODY_MAX + 1, b' ');
    session.refused(&review_request(&body), 413);
    session.refused(&chunked(&body), 413);

    // A length alone is enough: nobody needs to send so much to be told that it is too much.
    let head = format!(
        "POST /mutate HTTP/1.1\r\nhost: x\r\n{JSON}content-length: {}\r\n\r\n",
        BODY_MAX + 1
    );
    session.refused(head.as_bytes(), 413);
    let head = head.replace(&(BODY_MAX + 1).to_string(), "99999999999999999999999");
    let answer = Client::connect(shared()).exchange(head.as_bytes()).unwrap();
    assert!([400, 413].contains(&answer.status), "{}", answer.status);

    let mut large = pod(GOOD, "lead");
    large["metadata"]["annotations"] = json!({"pad": "x".repeat(13 << 19)});
    let review = review(&large);
    let answer = session.exchange(&text(&review)).unwrap();
    assert_eq!(response(&answer, &review)["patchType"], "JSONPatch");
    let answer = Client::connect(shared())
        .exchange(&chunked(&text(&review)))
        .unwrap();
    assert_eq!(response(&answer, &review)["patchType"], "JSONPatch");
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let head =
        format!("POST /mutate HTTP/1.1\r\nhost: x\r\n{JSON}transfer-encoding: chunked\r\n\r\n");
    let mut request = head.into_bytes();
    for chunk in body.chunks(100_000) {
        request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[test]
fn row_05_content_encoding() {
    let mut session = Session::open();
    for encoding in ["gzip", "br", "identity, gzip", ""] {
        let headers = format!("{JSON}content-encoding: {encoding}\r\n");
        session.refused(&post("/mutate", &headers, &text(&good())), 415);
    }
}

#[test]
fn row_06_nesting() {
    let mut session = Session::open();
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    // The review and its request, and in the second case the Pod, are levels of their own.
    for (pointer, outside) in [
        ("/request", 2),
        ("/request/object", 3),
        ("/request/object/spec", 4),
    ] {
        let with = |levels: usize| {
            let mut review = good();
            review.pointer_mut(pointer).unwrap()["future"] = json!("NESTED");
            let body = review.to_string().replace("\"NESTED\"", &nested(levels));
            (review, body.into_bytes())
        };
        let (review, body) = with(128 - outside);
        let answer = session.exchange(&body).unwrap();
        assert_eq!(response(&answer, &review)["patchType"], "JSONPatch");
        session.malformed(&with(129 - outside).1);
        session.malformed(&with(100_000).1);
    }
    session.malformed("[".repeat(100_000).as_bytes());
    session.malformed("{\"a\":".repeat(100_000).as_bytes());
    session.malformed(nested(100_000).as_bytes());
}

#[test]
fn row_07_not_one_json_document() {
    let mut session = Session::open();
    let body = text(&good());
    let replaced = |with: &[u8]| {
        let at = body
            .windows(7)
            .position(|bytes| bytes == b"agent-0")
            .unwrap();
        [&body[..at], with, &body[at..]].concat()
    };
    for bytes in [
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\0",
        b"\n",
    ] {
        session.malformed(&replaced(bytes));
    }
    for after in [&b"x"[..], b"\0", b",", b"}", b"{}", b"null", &body] {
        session.malformed(&[&body, after].concat());
    }
    session.malformed(&[b"\xef\xbb\xbf", &body[..]].concat());
    session.malformed(&[b"\0", &body[..]].concat());
    session.malformed(&body[..body.len() - 1]);
    let wide: Vec<u8> = String::from_utf8(body)
        .unwrap()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    session.malformed(&wide);
    for not_a_review in [
        "null",
        "true",
        "7",
        "\"AdmissionReview\"",
        "{}",
        "[]",
        "NaN",
        "apiVersion: v1",
    ] {
        session.malformed(not_a_review.as_bytes());
    }
}

#[test]
fn row_08_duplicate_keys() {
    let mut session = Session::open();
    let twice = |before: &str, key: &str, value: &Value| {
        good()
            .to_string()
            .replacen(before, &format!("\"{key}\":{value},{before}"), 1)
    };
    let request = good()["request"].clone();
    for body in [
        twice("\"request\":", "request", &request),
        twice("\"request\":", "request", &json!(null)),
        twice(
            "\"apiVersion\":",
            "apiVersion",
            &json!("admission.k8s.io/v1"),
        ),
        twice(
            "\"kind\":\"AdmissionReview\"",
            "kind",
            &json!("AdmissionReview"),
        ),
        twice("\"uid\":", "uid", &json!("other")),
        twice("\"uid\":", "u\\u0069d", &json!("other")),
        twice("\"namespace\":", "namespace", &json!("other")),
        twice("\"operation\":", "operation", &json!("DELETE")),
        twice("\"object\":", "object", &json!(null)),
        twice("\"object\":", "object", &request["object"]),
        twice("\"resource\":", "resource", &request["resource"]),
    ] {
        session.malformed(body.as_bytes());
    }
}

#[test]
fn row_09_no_request() {
    let mut session = Session::open();
    let mut missing = good();
    missing.as_object_mut().unwrap().remove("request");
    session.malformed(&text(&missing));
    let request = good()["request"].clone();
    let fields = [
        "uid",
        "kind",
        "resource",
        "subResource",
        "namespace",
        "operation",
        "object",
    ];
    let in_order: Vec<&Value> = fields.iter().map(|&field| &request[field]).collect();
    for request in [
        json!(null),
        json!([]),
        json!([request]),
        json!(in_order),
        json!("x"),
        json!(7),
        json!({}),
    ] {
        let mut review = good();
        review["request"] = request;
        session.malformed(&text(&review));
    }
    session.malformed(&text(&json!([
        "admission.k8s.io/v1",
        "AdmissionReview",
        request
    ])));
}

#[test]
fn row_10_uid() {
    let mut session = Session::open();
    let mut missing = good();
    missing["request"].as_object_mut().unwrap().remove("uid");
    session.malformed(&text(&missing));
    for uid in [
        json!(""),
        json!("u".repeat(1 << 20)),
        json!("u".repeat(257)),
        json!(null),
        json!(7),
        json!(["u"]),
    ] {
        let mut review = good();
        review["request"]["uid"] = uid;
        session.malformed(&text(&review));
    }
    let mut strange = good();
    strange["request"]["uid"] = json!("\"}\r\nx-injected: ü\u{2028}");
    session.patched(&strange);
}

#[test]
fn row_11_version_and_kind() {
    let mut session = Session::open();
    for (key, value) in [
        ("apiVersion", json!("admission.k8s.io/v1beta1")),
        ("apiVersion", json!("admission.k8s.io/v2")),
        ("apiVersion", json!("v1")),
        ("apiVersion", json!("")),
        ("apiVersion", json!(null)),
        ("kind", json!("Pod")),
        ("kind", json!("admissionreview")),
        ("kind", json!("x".repeat(1 << 16))),
    ] {
        let mut review = good();
        review[key] = value;
        session.malformed(&text(&review));
        review.as_object_mut().unwrap().remove(key);
        session.malformed(&text(&review));
    }
}

#[test]
fn row_12_response_in_the_question() {
    let mut session = Session::open();
    for filled_in in [
        json!({"uid": "other", "allowed": false}),
        json!([]),
        json!("yes"),
    ] {
        let mut review = good();
        review["response"] = filled_in;
        session.patched(&review);
    }
}

#[test]
fn a_broken_request_is_refused_before_it_is_a_review() {
    for request in [
        "",
        "\r\n\r\n\r\n",
        "MUTATE\r\n\r\n",
        "POST /mutate HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        let mut client = Client::connect(shared());
        client.send(request.as_bytes()).unwrap();
        if !request.trim().is_empty() && request.contains("\r\n\r\n") {
            assert_refused(&client.receive().unwrap(), 400);
        }
    }
    let body = text(&good());
    let lengths = format!("{JSON}content-length: 5\r\n");
    Session::open().refused(&post("/mutate", &lengths, &body), 400);
    let both = format!("{JSON}transfer-encoding: chunked\r\n");
    let answer = Client::connect(shared())
        .exchange(&post("/mutate", &both, &body))
        .unwrap();
    assert_refused(&answer, 400);
}
