//! Targets of models that travel: what a peer tells of its chunks, lists of chunks, and the catalogue.

use admission::{AuthoritySecret, SignedCatalogue};
use spread::{Bits, Root, Told, Tree, n_chunks};
use std::sync::OnceLock;

/// What a peer tells, and the list of a file's chunks; the first eight bytes are also the length of the file.
pub fn spread(bytes: &[u8]) {
    if let Ok(told) = Told::parse(bytes) {
        assert_eq!(Told::parse(told.to_json().as_bytes()).as_ref(), Ok(&told));
        for file in &told.files {
            let n = file.has.len() as u32 * 4;
            for n in n.saturating_sub(8)..=n {
                let (has, wants) = told.of(file.root, n);
                assert_eq!((has.n(), wants.n()), (n, n));
                assert!(has.count() <= n && Bits::parse(n, &has.to_hex()).as_ref() == Ok(&has));
            }
        }
    }
    let Some((length, list)) = bytes.split_first_chunk::<8>() else { return };
    let length = u64::from_be_bytes(*length);
    let (values, _) = list.as_chunks::<32>();
    let other = values.first().map_or([7; 32], |value| value.map(|byte| !byte));
    assert!(Tree::parse(Root(other), length, list).is_err(), "a list of another file was believed");
    if let Ok(tree) = Tree::new(length, values.to_vec()) {
        assert_eq!(Ok(tree.n_chunks()), n_chunks(length));
        assert_eq!(Tree::parse(tree.root(), length, &tree.to_bytes()).as_ref(), Ok(&tree));
        assert!(!tree.is_good(tree.n_chunks(), list) && tree.place(u32::MAX).is_empty());
    }
}

/// The catalogue that an agent fetches.
pub fn admission_catalogue(bytes: &[u8]) {
    static KEY: OnceLock<AuthoritySecret> = OnceLock::new();
    let key = KEY.get_or_init(|| AuthoritySecret::from_seed(&[9; 32]));
    let Ok(told) = SignedCatalogue::parse(bytes) else { return };
    assert_eq!(SignedCatalogue::parse(told.to_json().as_bytes()).as_ref(), Ok(&told));
    assert!(told.verify(&key.public()).is_err(), "a catalogue that nobody signed was believed");
    for file in told.files() {
        assert!(!file.file.contains('/') && !file.file.starts_with('.') && file.bytes > 0);
    }
    let own = SignedCatalogue::new(key, told.version(), told.files().to_vec());
    assert_eq!(own.expect("it was within its limits").verify(&key.public()), Ok(()));
}
