//! The labels of another data set in the numbers of a model.
//!
//! Rule: classes are the same if their names are, whatever their numbers; what has no counterpart in
//! the model is refused, because an accuracy over it would mean nothing.

use crate::{
    data::{Data, listed_names},
    spec::{SampleForm, Spec},
};

/// The reason why a model cannot be scored on a data set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MismatchError {
    /// The images are of another size or kind.
    #[error("its images are {found}, those that the model was trained on are {wanted}")]
    Image {
        /// The data set's.
        found: String,
        /// The model's.
        wanted: String,
    },
    /// A class that the model does not know.
    #[error(
        "the model does not know {missing}; the set's classes are {found}, the model's are {wanted}"
    )]
    Class {
        /// The classes that the model does not know.
        missing: String,
        /// The data set's.
        found: String,
        /// The model's.
        wanted: String,
    },
    /// There is nothing to judge by.
    #[error("it has no test samples")]
    Empty,
}

/// The labels of the test samples of `data`, as the model of `spec` numbers their classes.
pub(super) fn labels_in(spec: &Spec, data: &Data) -> Result<Vec<u8>, MismatchError> {
    let (found, wanted) = (SampleForm::of(data), &spec.form);
    let image = |form: &SampleForm| (form.channels, form.height, form.width);
    if image(&found) != image(wanted) {
        return Err(MismatchError::Image { found: found.to_string(), wanted: wanted.to_string() });
    }
    let names = wanted.names(spec.network.classes);
    let label = |name: &String| names.iter().position(|known| known == name).map(|at| at as u8);
    let map: Vec<Option<u8>> = data.names().iter().map(label).collect();
    let missing: Vec<String> = data
        .names()
        .iter()
        .zip(&map)
        .filter(|(_, label)| label.is_none())
        .map(|(name, _)| name.clone())
        .collect();
    if !missing.is_empty() {
        let (missing, found, wanted) =
            (listed_names(&missing), listed_names(data.names()), listed_names(&names));
        return Err(MismatchError::Class { missing, found, wanted });
    }
    let labels = data.test_labels().iter();
    let labels: Option<Vec<u8>> =
        labels.map(|&label| map.get(usize::from(label)).copied().flatten()).collect();
    labels.filter(|labels| !labels.is_empty()).ok_or(MismatchError::Empty)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::Source;

    /// The test half of a folder set with these classes, a grey image of `side` x `side` in each.
    fn set(classes: &[&str], side: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (half, class) in ["train", "test"]
            .into_iter()
            .flat_map(|half| classes.iter().map(move |class| (half, class)))
        {
            let folder = folder.path().join(half).join(class);
            fs::create_dir_all(&folder).unwrap();
            let file = fs::File::create(folder.join("image.png")).unwrap();
            let mut encoder = png::Encoder::new(file, side, side);
            encoder.set_color(png::ColorType::Grayscale);
            let pixels = vec![class.len() as u8; (side * side) as usize];
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        }
        folder
    }

    fn spec(folder: &tempfile::TempDir) -> Spec {
        let data = Data::open(&format!("folder:{}", folder.path().display())).unwrap();
        Spec::builder().layers([16, 4]).batch_size(1).build(&data).unwrap()
    }

    fn data(folder: &tempfile::TempDir) -> Data {
        Source::Folder { path: folder.path().to_owned() }.open_test().unwrap()
    }

    #[test]
    fn classes_go_by_name() {
        let spec = spec(&set(&["cat", "dog", "owl"], 4));
        assert_eq!(spec.form.classes, ["cat", "dog", "owl"]);
        assert_eq!(labels_in(&spec, &data(&set(&["cat", "dog", "owl"], 4))), Ok(vec![0, 1, 2]));
        assert_eq!(labels_in(&spec, &data(&set(&["dog", "owl"], 4))), Ok(vec![1, 2]));
        let test_only = set(&["owl"], 4);
        fs::remove_dir_all(test_only.path().join("train")).unwrap();
        assert_eq!(labels_in(&spec, &data(&test_only)), Ok(vec![2]));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sides() {
        let spec = spec(&set(&["cat", "dog"], 4));
        let text = |folder| labels_in(&spec, &data(&folder)).unwrap_err().to_string();
        let wider = text(set(&["cat", "dog"], 5));
        assert!(wider.contains("5 x 5 grey") && wider.contains("4 x 4 grey"), "{wider}");
        let other = text(set(&["cat", "owl"], 4));
        for part in ["does not know owl", "cat, owl", "cat, dog"] {
            assert!(other.contains(part), "{other}");
        }
    }

    #[test]
    fn numbers_are_names_too() {
        let data = Data::open("digits:200+20").unwrap();
        let spec = Spec::builder().build(&data).unwrap();
        assert!(spec.form.classes.is_empty());
        assert_eq!(labels_in(&spec, &data).unwrap(), data.test_labels());
    }
}
