//! Files that are no cascades, or bad ones: an error that says what and where, and never a panic or an endless loop.

use proptest::prelude::*;

use super::*;

fn refusal(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.xml");
    std::fs::write(&file, text).unwrap();
    let error = Haar::load(&file, &SETTINGS).err().unwrap_or_else(|| panic!("it loads: {text}")).to_string();
    assert!(error.contains("mine.xml"), "{error}");
    error
}

#[test]
fn what_is_wrong_with_a_cascade_is_named() {
    let good = lenient();
    for (from, to, says) in [
        ("<opencv_storage>", "", "no XML"),
        ("</cascade>", "", "no XML"),
        ("<cascade>", "<cascade type_id=\"opencv-haar-classifier\">", "format of OpenCV 1"),
        ("BOOST", "SVM", "stageType is \"SVM\""),
        ("HAAR", "LBP", "featureType is \"LBP\""),
        ("<height>4</height>", "", "<height> is missing"),
        ("<height>4", "<height>2", "4 x 2 pixels"),
        ("<height>4", "<height>257", "4 x 257 pixels"),
        ("<height>4", "<height>-4", "<height> is not such a number"),
        ("<height>4", "<height>4e999", "no number, or an endless one"),
        ("<stageThreshold>0", "<stageThreshold>nan", "line 1: there is no number"),
        ("<stageThreshold>0", "<stageThreshold>zero", "line 1: there is no number"),
        ("0 -1 0 0", "0 -1 0", "four numbers for each node"),
        ("0 -1 0 0", "", "four numbers for each node"),
        ("0 -1 0 0", "0 -1 7 0", "a feature that is not there"),
        ("0 -1 0 0", "0 -1 -1 0", "a feature that is not there"),
        ("0 -1 0 0", "1 0 0 0 0 -1 0 0", "a leaf more than nodes"),
        ("0 -1 0 0</internalNodes><leafValues>1 1", "0 1 0 0 0 -2 0 0</internalNodes><leafValues>1 1 1", ""),
        (
            "0 -1 0 0</internalNodes><leafValues>1 1",
            "0 1 0 0 1 -2 0 0</internalNodes><leafValues>1 1 1",
            "leads nowhere, or back",
        ),
        (
            "0 -1 0 0</internalNodes><leafValues>1 1",
            "0 2 0 0 0 -2 0 0</internalNodes><leafValues>1 1 1",
            "leads nowhere, or back",
        ),
        (
            "0 -1 0 0</internalNodes><leafValues>1 1",
            "0 1 0 0 0 -3 0 0</internalNodes><leafValues>1 1 1",
            "leads nowhere, or back",
        ),
        ("0 0 4 4 -1.", "0 0 4 5 -1.", "beyond the window"),
        ("0 0 4 4 -1.", "-1 0 4 4 -1.", "beyond the window"),
        ("0 0 4 4 -1.", "4294967295 0 4 4 -1.", "beyond the window"),
        ("0 0 4 4 -1.", "0 0 4 4", "needs x, y, w, h and a weight"),
        ("<_>0 0 4 4 -1.</_>", "<_>0 0 4 4 -1.</_><_>0 0 4 4 1</_><_>0 0 1 1 1</_><_>0 0 1 1 1</_>", "more than three"),
        ("<_>0 0 4 4 -1.</_>", "", "<rects> is empty"),
        ("<rects>", "<tilted>1</tilted><rects>", "beyond the window"),
        ("<stages><_>", "<stages></stages><other><_>", "no XML"),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        if says.is_empty() {
            Cascade::parse(&bad).unwrap();
        } else {
            let said = refusal(&bad);
            assert!(said.contains(says), "{from} -> {to}: {said}");
        }
    }
    assert!(refusal("").contains("no XML"));
    assert!(refusal("<opencv_storage/>").contains("no cascade"));
}

#[test]
fn the_cascade_in_the_old_format_that_debian_has_is_refused_as_such() {
    let test = "the_cascade_in_the_old_format_that_debian_has_is_refused_as_such";
    let Some(old) = debians(test, "haarcascade_licence_plate_rus_16stages.xml") else { return };
    let error = Haar::load(&old, &SETTINGS).err().unwrap().to_string();
    assert!(error.contains("format of OpenCV 1") && error.contains("opencv-data"), "{error}");
}

#[test]
fn what_is_no_text_too_deep_or_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.xml");
    std::fs::write(&file, [0xFF, 0xFE, 0x00]).unwrap();
    assert!(Haar::load(&file, &SETTINGS).err().unwrap().to_string().contains("no text"));
    std::fs::File::create(&file).unwrap().set_len(MAX_BYTES + 1).unwrap();
    assert!(Haar::load(&file, &SETTINGS).err().unwrap().to_string().contains("16777216 at most"));
    assert!(matches!(Haar::load(&folder.path().join("none.xml"), &SETTINGS), Err(ModelError::Read { .. })));
    let deep = "<a>".repeat(200_000) + &"</a>".repeat(200_000);
    assert!(Cascade::parse(&deep).is_err());
    assert!(Cascade::parse(&"<a>".repeat(500_000)).is_err());
    let entities = "<!DOCTYPE a [<!ENTITY b \"b\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>";
    assert!(Cascade::parse(entities).unwrap_err().contains("no XML"));
}

#[test]
fn a_scale_factor_that_never_ends_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.xml");
    std::fs::write(&file, lenient()).unwrap();
    for scale_factor in [1.0, 0.5, 1.001, f64::NAN, f64::INFINITY] {
        let haar = HaarSettings { scale_factor, ..HaarSettings::DEFAULT };
        let error = Haar::load(&file, &Settings { haar, ..SETTINGS }).err().unwrap();
        assert!(error.to_string().contains("haar.scale_factor"), "{error}");
    }
}

proptest! {
    /// Bytes are changed, cut out and doubled; what still loads can be evaluated.
    #[test]
    fn a_damaged_cascade_is_refused_or_works(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::sample::select(vec!["", "9", "-", "1e9", "<_>", "</_>", "0 ", ".5"])), 1..4),
    ) {
        let mut text = lenient();
        for (from, to, with) in edits {
            let (from, to) = (from.index(text.len()), to.index(text.len()));
            let end = from + to % 6;
            text.replace_range(from..end.min(text.len()), with);
        }
        if let Ok(cascade) = Cascade::parse(&text) {
            let mut windows = Windows::new(cascade);
            let Size { w, h } = windows.size();
            let mut band = Band::new(h as usize, true);
            band.widen(w as usize);
            band.begin(w as usize);
            (0..h).for_each(|y| band.push(&(0..w).map(|x| (x * 7 + y * 13) as u8).collect::<Vec<_>>()));
            windows.lay_out(&band);
            windows.row(&band, 0, 1, 1, |_, weight| assert!(weight.is_finite()));
        }
    }
}
