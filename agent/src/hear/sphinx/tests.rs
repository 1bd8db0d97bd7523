//! What needs no pocketsphinx; the program itself is tried in `agent/tests/ears.rs`.

use super::*;

fn ear(name: &str, code: &str) -> Sphinx {
    let root = std::env::temp_dir().join(format!("duet-sphinx-test-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    let program = root.join(PROGRAM);
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    let script = root.join("script");
    fs::write(&script, format!("#!/bin/sh\n{code}\n")).unwrap();
    // By another program: a child of a test beside this one could still hold what is written here, and then it is busy.
    assert!(Command::new("/bin/cp").args([&script, &program]).status().unwrap().success());
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let model = root.join("usr").join(MODEL);
    fs::create_dir_all(&model).unwrap();
    let words: String = ENGLISH
        .split(|c: char| !c.is_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .map(|word| format!("{word} AH\n"))
        .collect();
    fs::write(model.join(DICTIONARY), words).unwrap();
    Sphinx::open(&program).unwrap()
}

#[track_caller]
fn check(name: &str, code: &str, want: Result<&str, &str>) {
    let how = How { language: "en".into(), threads: 1 };
    match (ear(name, code).hear(&[1000; 1600], &how, &|| false), want) {
        (Ok(text), Ok(want)) => assert_eq!(text.text, want),
        (Err(Miss::Failed(why)), Err(part)) => assert!(why.contains(part), "{why}"),
        (got, want) => panic!("{got:?} instead of {want:?}"),
    }
}

#[test]
fn what_the_program_writes_is_heard() {
    check("words", "echo 'stop it (clip -2000)' > heard", Ok("stop it"));
    check("nothing", "echo > heard", Ok(""));
}

#[test]
fn noise_is_not_heard() {
    check("noise", "echo 'zzah zzb (clip -2000)' > heard", Ok(""));
    check("part", "echo 'stop zzb (clip -2000)' > heard", Ok(""));
}

#[test]
fn a_program_that_fails_says_why_and_an_old_answer_does_not_count() {
    check("status", "echo 'ERROR: no model' > log; exit 3", Err("status 3; ERROR: no model"));
    check("silent", "exit 0", Err("No such file"));
    check("strange", "echo 'no end' > heard", Err("an answer that is none"));
    check("loud", "yes", Err("it said more than it may"));
}

#[test]
fn who_leaves_ends_it() {
    let how = How { language: "en".into(), threads: 1 };
    let got = ear("left", "exec sleep 300").hear(&[1000; 1600], &how, &|| true);
    assert_eq!(got, Err(Miss::Stopped));
}

#[test]
fn a_clip_is_lifted_and_has_rest_around_it() {
    let bytes = levelled(&[100, -200, 0]).unwrap();
    let at = |n: usize| i16::from_le_bytes([bytes[2 * n], bytes[2 * n + 1]]);
    assert_eq!(bytes.len(), 2 * (2 * REST + 3));
    assert_eq!([at(0), at(REST), at(REST + 1), at(REST + 2), at(REST + 3)], [0, 8000, -16_000, 0, 0]);
    assert_eq!(levelled(&[3; 100]), None);
    assert_eq!(levelled(&[]), None);
    assert_eq!(levelled(&[i16::MIN; 700_000]).unwrap().len(), 2 * (2 * REST + letter::SAMPLES_MAX));
}

#[test]
fn files_go_with_the_ear() {
    let ear = ear("folder", "exit 0");
    let path = ear.folder.0.clone();
    assert!(path.join("grammar").is_file());
    drop(ear);
    assert!(!path.exists());
}
