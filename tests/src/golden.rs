//! Golden files: PyTorch's results, as committed safetensors.
//!
//! `golden/generate.py` writes them and describes their contents. Tests only read them, so testing needs no Python.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};
use seqloom_graph::{HostData, HostTensor};

/// The tensors of one golden file, by name.
pub struct Golden {
    file: PathBuf,
    tensors: BTreeMap<String, HostTensor>,
}

impl Golden {
    /// Reads `golden/<name>.safetensors`.
    ///
    /// # Panics
    /// If the file is absent, broken, or holds another type than F32 and U32.
    #[must_use]
    pub fn load(name: &str) -> Self {
        let file = folder().join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let views = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let read = |name: String| {
            let view = views.tensor(&name).expect("a name that the file lists");
            let words = view.data().as_chunks::<4>().0.iter().copied();
            let tensor = match view.dtype() {
                Dtype::F32 => HostTensor::f32(view.shape(), words.map(f32::from_le_bytes).collect()),
                Dtype::U32 => HostTensor::u32(view.shape(), words.map(u32::from_le_bytes).collect()),
                other => panic!("{}: {name} is {other:?}", file.display()),
            };
            (name, tensor.expect("safetensors checked the size"))
        };
        let tensors = views.names().iter().map(|name| read((*name).to_owned())).collect();
        Self { file, tensors }
    }

    /// The tensor `name`, if the file has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&HostTensor> {
        self.tensors.get(name)
    }

    /// The tensor `name`.
    ///
    /// # Panics
    /// If the file has no such tensor.
    #[must_use]
    pub fn tensor(&self, name: &str) -> &HostTensor {
        self.get(name).unwrap_or_else(|| panic!("{} has no {name}", self.file.display()))
    }

    /// The elements of the f32 tensor `name`.
    ///
    /// # Panics
    /// If the file has no such tensor or its type is another.
    #[must_use]
    pub fn floats(&self, name: &str) -> &[f32] {
        match self.tensor(name).data() {
            HostData::F32(values) => values,
            _ => panic!("{}: {name} is not f32", self.file.display()),
        }
    }

    /// The elements of the u32 tensor `name`.
    ///
    /// # Panics
    /// If the file has no such tensor or its type is another.
    #[must_use]
    pub fn ids(&self, name: &str) -> &[u32] {
        match self.tensor(name).data() {
            HostData::U32(values) => values,
            _ => panic!("{}: {name} is not u32", self.file.display()),
        }
    }

    /// The tensors `<prefix>0`, `<prefix>1`, … as far as they go without a gap.
    #[must_use]
    pub fn numbered(&self, prefix: &str) -> Vec<&HostTensor> {
        (0..).map_while(|i| self.get(&format!("{prefix}{i}"))).collect()
    }
}

/// The cases of each operation of a family, as `golden/<family>.json` lists them.
///
/// # Panics
/// If the file is absent or of another form.
#[must_use]
pub fn operation_cases(family: &str) -> BTreeMap<String, Vec<String>> {
    let file = folder().join(format!("{family}.json"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let all: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let cases = all["cases"].as_object().unwrap_or_else(|| panic!("{} has no cases", file.display()));
    let names = |list: &serde_json::Value| {
        list.as_array()
            .into_iter()
            .flatten()
            .map(|name| name.as_str().expect("a case's name").to_owned())
            .collect()
    };
    cases.iter().map(|(operation, list)| (operation.clone(), names(list))).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}
