//! Tests that have the node alone. They come last, by their name, and one after another.

mod life;
mod pages;
