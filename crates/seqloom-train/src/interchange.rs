//! Files of other libraries: the same models under other names.
//!
//! | module | subject |
//! |---|---|
//! | [`name_map`] | a table that turns their names into ours |
//! | [`hugging_face`] | models of Hugging Face, by their `config.json` |

pub mod hugging_face;
pub mod name_map;
