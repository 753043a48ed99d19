//! Which APIs a broker serves, at which versions.
