pub mod gitignore;
