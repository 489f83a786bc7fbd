//! Tests of [`crate::data::text_codec`], in their own file because that one would be too long.

use super::*;

const SPECIAL: SpecialIds = SpecialIds { pad: 0, bos: 1, eos: 2, unk: 3 };

fn words(sentences: &[&str], options: WordOptions) -> TextCodec {
    TextCodec::words(sentences, options).unwrap()
}

fn subwords(sentences: &[&str], size: usize) -> TextCodec {
    TextCodec::subwords(sentences, SubwordOptions { size, ..SubwordOptions::default() }).unwrap()
}

#[test]
fn words_are_numbered_by_frequency_and_rare_ones_are_unknown() {
    let options = WordOptions { min_count: 2, lowercase: true, ..WordOptions::default() };
    let codec = words(&["B a, a", "b a rare"], options);
    assert_eq!((codec.size(), codec.special()), (6, SPECIAL));
    // a thrice, b twice; the comma and "rare" once.
    assert_eq!(codec.encode("A b, rare").unwrap(), [4, 5, 3, 3]);
    assert_eq!(codec.labels(&[4, 3, 2]).unwrap(), ["a", "<unk>", "<eos>"]);
    let codec = words(&["c b a", "c b", "c"], WordOptions { most: 2, ..WordOptions::default() });
    assert_eq!(codec.encode("a b c").unwrap(), [3, 5, 4]);
}

#[test]
fn units_cut_as_they_say() {
    let sentence = "it's  well-known.";
    let count = |unit| {
        let codec = words(&[sentence], WordOptions { unit, ..WordOptions::default() });
        let ids = codec.encode(sentence).unwrap();
        (ids.len(), codec.decode(&ids).unwrap())
    };
    assert_eq!(count(Unit::Spaced), (2, "it's well-known.".to_owned()));
    assert_eq!(count(Unit::Words), (7, "it ' s well - known .".to_owned()));
    assert_eq!(count(Unit::Characters), (17, sentence.to_owned()));
}

#[test]
fn no_text_is_out_of_a_subword_vocabulary() {
    let codec = subwords(&["low lower lowest", "new newer newest"], 280);
    assert!(codec.size() > 260 && codec.size() <= 280);
    for text in ["lower", "Zwölf Boxkämpfer", "世界 🎉", "a  b\tc", "<unk", ""] {
        let ids = codec.encode(text).unwrap();
        assert!(!ids.contains(&SPECIAL.unk), "{text}");
        assert_eq!(codec.decode(&ids).unwrap(), text);
    }
    assert!(codec.encode("newest").unwrap().len() < 4);
    let again = subwords(&["low lower lowest", "new newer newest"], 280);
    assert_eq!(again.encode("lowest newest").unwrap(), codec.encode("lowest newest").unwrap());
}

#[test]
fn text_that_spells_a_special_token_does_not_become_one() {
    let text = "a <eos> b <pad> <unk> <bos>";
    let spaced = WordOptions { unit: Unit::Spaced, ..WordOptions::default() };
    let many = ["<eos> <bos>"; 50];
    let small = SubwordOptions { size: 400, ..SubwordOptions::default() };
    for codec in [
        words(&[text], spaced),
        words(&[text], WordOptions::default()),
        TextCodec::subwords(many, small).unwrap(),
    ] {
        assert_eq!(codec.special(), SPECIAL);
        let ids = codec.encode(text).unwrap();
        assert!(ids.iter().all(|id| ![0, 1, 2].contains(id)), "{ids:?}");
    }
    assert_eq!(words(&[text], spaced).encode(text).unwrap(), [4, 3, 5, 3, 3, 3]);
}

#[test]
fn decoding_ends_at_eos_and_checks_ids() {
    let codec = words(&["a b"], WordOptions::default());
    assert_eq!(codec.decode(&[1, 4, 0, 5, 2, 4]).unwrap(), "a b");
    let error = codec.decode(&[4, 6]).unwrap_err();
    assert!(matches!(error, Error::Model(NnError::UnknownId { id: 6, index: 1, size: 6 })), "{error}");
    assert!(codec.labels(&[99]).is_err());
}

#[test]
fn a_saved_codec_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    let text = ["Die Katze schläft.", "Der Hund schläft nicht."];
    let characters = WordOptions { unit: Unit::Characters, ..WordOptions::default() };
    for codec in [
        words(&text, WordOptions { lowercase: true, ..WordOptions::default() }),
        words(&text, characters),
        subwords(&text, 270),
    ] {
        codec.save(&path).unwrap();
        let loaded = TextCodec::load(&path).unwrap();
        assert_eq!((loaded.size(), loaded.special()), (codec.size(), SPECIAL));
        for sentence in ["Die Katze", "schläft der Hund?", "<eos>"] {
            let ids = codec.encode(sentence).unwrap();
            assert_eq!(loaded.encode(sentence).unwrap(), ids);
            assert_eq!(loaded.decode(&ids).unwrap(), codec.decode(&ids).unwrap());
        }
    }
}

#[test]
fn broken_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    assert!(matches!(TextCodec::load(&path), Err(Error::Io { .. })));
    words(&["a b"], WordOptions::default()).save(&path).unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    let fault = |text: &str| {
        std::fs::write(&path, text).unwrap();
        match TextCodec::load(&path).unwrap_err() {
            Error::Codec { path: Some(named), fault } if named == path => fault,
            other => panic!("{other}"),
        }
    };
    assert!(matches!(fault(&whole[..whole.len() / 2]), CodecFault::Tokenizer { .. }));
    assert!(matches!(fault("[1, 2]"), CodecFault::Tokenizer { .. }));
    assert!(matches!(fault(""), CodecFault::Tokenizer { .. }));
    let foreign = whole.replace("<eos>", "[SEP]");
    assert_eq!(fault(&foreign), CodecFault::NoSpecial { token: "<eos>" });
    let gap = whole.replace("\"b\": 5", "\"b\": 900");
    assert_ne!(gap, whole);
    assert_eq!(fault(&gap), CodecFault::Gaps { size: 6, id: 900 });
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(TextCodec::load(&path).is_err());
}

#[test]
fn a_truncation_in_the_file_cuts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    words(&["a b"], WordOptions::default()).save(&path).unwrap();
    let limit = r#""truncation": {"direction":"Right","max_length":1,"strategy":"LongestFirst","stride":0}"#;
    let text = std::fs::read_to_string(&path).unwrap();
    let cutting = text.replace(r#""truncation": null"#, limit);
    assert_ne!(cutting, text);
    std::fs::write(&path, cutting).unwrap();
    assert_eq!(TextCodec::load(&path).unwrap().encode("a b a").unwrap(), [4, 5, 4]);
}

#[test]
fn vocabularies_that_cannot_be_made_are_refused() {
    let error = TextCodec::subwords(["a"], SubwordOptions { size: 259, ..SubwordOptions::default() });
    let small = CodecFault::Small { asked: 259, least: 260 };
    assert!(matches!(error, Err(Error::Codec { path: None, fault }) if fault == small));
    let rare = WordOptions { min_count: 9, ..WordOptions::default() };
    let error = TextCodec::words(["a b"], rare);
    assert!(matches!(error, Err(Error::Codec { fault: CodecFault::NoPieces { min_count: 9 }, .. })));
}
