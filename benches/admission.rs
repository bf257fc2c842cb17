//! One admission in this process, from bytes to bytes.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark ends where its input is wrong"
)]

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn admission(criterion: &mut Criterion) {
    let (review, team, settings) = (common::review(), common::team(), common::settings());
    let mut group = criterion.benchmark_group("admission");
    group.throughput(Throughput::Bytes(review.len() as u64));
    group.bench_function("20 KiB", |bencher| {
        bencher.iter(|| common::admit(black_box(&review), &team, &settings));
    });
    group.finish();
}

criterion_group!(benches, admission);
criterion_main!(benches);
