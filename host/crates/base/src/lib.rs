//! Holds what several packages share and what knows nothing of payments, chains or plugins.

pub mod text;
