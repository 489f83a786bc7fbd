//! Files of other libraries: the same models under other names.
//!
//! | module | subject |
//! |---|---|
//! | [`name_map`] | a table that turns their names into ours |
//! | [`hugging_face`] | models of Hugging Face, by their `config.json` |

pub mod hugging_face {
    //! Models of Hugging Face's `transformers`: a folder with `config.json` and `model.safetensors`, as `save_pretrained` writes it.
    //!
    //! The configuration gives the sizes, a table of names the parameters; each model's file has both. A setting that
    //! changes what the model computes, the places of dropout included, is obeyed or refused by name, and so is an
    //! unknown one (`settings`). So a model that loads computes and trains as theirs does.
    //!
    //! ```no_run
    //! # use seqloom_device::{Device, DeviceOptions};
    //! # use seqloom_graph::{ParamStore, Params, StoreKind};
    //! # use seqloom_nn::Gpt;
    //! # use seqloom_train::read_gpt2;
    //! # fn main() -> seqloom_train::Result<()> {
    //! # let device = Device::open(DeviceOptions::default())?;
    //! let (config, checkpoint) = read_gpt2("gpt2")?;
    //! let mut params = Params::seeded(42);
    //! let model = Gpt::new(&mut params, config);
    //! let store = ParamStore::new(&device, params, StoreKind::Inference)?;
    //! checkpoint.restore_parameters(&store)?;
    //! # Ok(())
    //! # }
    //! ```

    mod bert;
    mod gpt2;
    mod settings;
    #[cfg(test)]
    mod tests;

    pub use bert::{BERT, read_bert};
    pub use gpt2::{GPT2, read_gpt2};
}

pub mod name_map;
