//! The built binary, for all that needs no cluster.
