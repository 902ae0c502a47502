pub mod gitignore;
pub mod errors;
pub mod insights;
pub mod review;
