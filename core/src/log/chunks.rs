//! A vector that only grows at its end, in chunks that clones share.
