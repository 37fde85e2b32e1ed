//! ONNX Runtime's library, wrong and missing, in a process of its own: it is loaded once per process.

use std::path::Path;

use facestream_stages::detect::{ModelError, Settings, init_runtime, load};

#[test]
fn a_wrong_library_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "not a library").unwrap();
    let own = std::env::current_exe().unwrap();
    for library in [Path::new("/nowhere/libonnxruntime.so"), folder.path(), &text, &own] {
        let error = init_runtime(library).unwrap_err();
        assert!(matches!(error, ModelError::Library { .. }), "{error}");
        assert!(error.to_string().contains(library.to_str().unwrap()), "{error}");
    }
    // Without a runtime there is no model either, and nobody waits for one.
    let settings = Settings::DEFAULT;
    assert!(matches!(load(&text, &settings), Err(ModelError::NoRuntime)));
}
