//! Who signs what: the authority of a cluster, and each node for itself.
//!
//! Both are ed25519; the types keep them apart, and every signature begins with what it is about, so that one signed
//! thing can never be taken for another. Verification is the strict kind, which knows no weak key and one form only.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::bytes::{hex, unhex_exact};
use crate::sealed::{BoxPublic, BoxSecret};
use crate::{ClusterId, Error};

/// Bytes of a public key.
pub const KEY_BYTES: usize = 32;

/// An ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; Signature::BYTES]);

impl Signature {
    pub const BYTES: usize = 64;

    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    pub fn parse(text: &str) -> Option<Signature> {
        unhex_exact(text).map(Signature)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// What a signature is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// By the authority: a node's certificate.
    Certificate,
    /// By the authority: a page of the roster.
    Roster,
    /// By the authority: what the owner asks of a node.
    Order,
    /// By the authority: who may ask the gateways.
    ApiKeys,
    /// By the authority: what the owner wishes of all nodes.
    Settings,
    /// By the authority: a text that the owner edited on a page.
    Edit,
    /// By the authority: the models that it offers.
    Catalogue,
    /// By the authority: the first answer to a call home.
    Challenge,
    /// By the authority: the second.
    Answer,
    /// By a node: its call home, which proves that it holds its key.
    Ask,
    /// By a node: that it heard the server's nonce.
    Open,
    /// By a node: what it says of itself.
    Facts,
    /// By a node: that it leaves on purpose.
    Leave,
    /// By a node: its answer to an order.
    Report,
    /// By the authority: the key of a stick.
    StickPass,
    /// By a stick: that it is in the PC that makes a call.
    Stick,
    /// By the node that plans: what another is to hold.
    Plan,
}

impl Statement {
    /// Name for sentences.
    pub const fn name(self) -> &'static str {
        match self {
            Statement::Certificate => "the certificate",
            Statement::Roster => "the roster",
            Statement::Order => "the order",
            Statement::ApiKeys => "the list of API keys",
            Statement::Settings => "the settings of the nodes",
            Statement::Edit => "the edit",
            Statement::Catalogue => "the catalogue of models",
            Statement::Challenge | Statement::Answer => "the answer",
            Statement::Ask | Statement::Open => "the call home",
            Statement::Facts => "the facts",
            Statement::Leave => "the leave",
            Statement::Report => "the report",
            Statement::StickPass => "the stick's pass",
            Statement::Stick => "the stick",
            Statement::Plan => "the plan",
        }
    }

    /// All heads have one length, so none is the beginning of another.
    const fn head(self) -> &'static [u8; 16] {
        match self {
            Statement::Certificate => b"duet1 certificat",
            Statement::Roster => b"duet1 roster    ",
            Statement::Order => b"duet1 order     ",
            Statement::ApiKeys => b"duet1 api keys  ",
            Statement::Settings => b"duet1 settings  ",
            Statement::Edit => b"duet1 edit      ",
            Statement::Catalogue => b"duet1 catalogue ",
            Statement::Answer => b"duet1 answer    ",
            Statement::Challenge => b"duet1 challenge ",
            Statement::Ask => b"duet1 ask       ",
            Statement::Open => b"duet1 open      ",
            Statement::Facts => b"duet1 facts     ",
            Statement::Leave => b"duet1 leave     ",
            Statement::Report => b"duet1 report    ",
            Statement::StickPass => b"duet1 stick pass",
            Statement::Stick => b"duet1 stick     ",
            Statement::Plan => b"duet1 plan      ",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.head(), bytes].concat()
    }
}

/// What authority and node keys have in common.
macro_rules! key_pair {
    ($secret:ident, $public:ident, $secret_says:literal, $public_says:literal) => {
        #[doc = $secret_says]
        #[derive(Clone)]
        pub struct $secret(SigningKey);

        impl $secret {
            /// Makes a key from 32 random bytes.
            pub fn from_seed(seed: &[u8; 32]) -> $secret {
                $secret(SigningKey::from_bytes(seed))
            }

            /// The seed, for the one file that keeps it.
            pub fn seed(&self) -> &[u8; 32] {
                self.0.as_bytes()
            }

            pub fn public(&self) -> $public {
                $public(self.0.verifying_key().to_bytes())
            }

            pub fn sign(&self, statement: Statement, bytes: &[u8]) -> Signature {
                Signature(self.0.sign(&statement.message(bytes)).to_bytes())
            }
        }

        impl fmt::Debug for $secret {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($secret), " of {:?}"), self.public())
            }
        }

        #[doc = $public_says]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $public([u8; KEY_BYTES]);

        impl $public {
            /// Any 32 bytes: whether they are a key shows when a signature is checked.
            pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> $public {
                $public(bytes)
            }

            pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
                &self.0
            }

            pub fn to_hex(self) -> String {
                hex(&self.0)
            }

            pub fn parse(text: &str) -> Option<$public> {
                unhex_exact(text).map($public)
            }

            pub fn verify(
                &self,
                statement: Statement,
                bytes: &[u8],
                signature: &Signature,
            ) -> Result<(), Error> {
                let wrong = Error::Signature { what: statement.name() };
                let key = VerifyingKey::from_bytes(&self.0).map_err(|_| wrong)?;
                let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
                key.verify_strict(&statement.message(bytes), &signature).map_err(|_| wrong)
            }
        }

        impl fmt::Debug for $public {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
    };
}

key_pair!(
    AuthoritySecret,
    AuthorityPublic,
    "The authority's private half, which only the boot server holds.",
    "The authority's public half; the release key vouches for it."
);
key_pair!(
    NodeSecret,
    NodePublic,
    "A node's private half: made in its RAM at each boot, and never leaves it.",
    "A node's public half, which its certificate names."
);

key_pair!(
    StickSecret,
    StickPublic,
    "A stick's private half, which lies on the stick and nowhere else.",
    "A stick's public half, which its pass names."
);

impl AuthoritySecret {
    pub fn cluster(&self) -> ClusterId {
        ClusterId::of(&self.public())
    }
}

impl NodeSecret {
    /// The same key as one that opens boxes (RFC 7748 from RFC 8032, as libsodium converts it).
    pub fn box_secret(&self) -> BoxSecret {
        BoxSecret::from_seed(&self.0.to_scalar_bytes())
    }
}

impl NodePublic {
    /// Where to seal what only this node may read; none if these bytes are no key.
    pub fn box_public(&self) -> Option<BoxPublic> {
        let key = VerifyingKey::from_bytes(&self.0).ok().filter(|key| !key.is_weak())?;
        Some(BoxPublic::from_bytes(key.to_montgomery().to_bytes()))
    }
}

/// A node's key on the overlay, as WireGuard knows it; its secret half never reaches the agent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OverlayPublic(pub [u8; KEY_BYTES]);

impl OverlayPublic {
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    pub fn parse(text: &str) -> Option<OverlayPublic> {
        unhex_exact(text).map(OverlayPublic)
    }
}

impl fmt::Debug for OverlayPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    #[test]
    fn a_signature_holds_for_one_statement_one_key_and_one_text() {
        let key = NodeSecret::from_seed(&[1; 32]);
        let signature = key.sign(Statement::Facts, b"text");
        let wrong = Err(Error::Signature { what: "the facts" });
        assert_eq!(key.public().verify(Statement::Facts, b"text", &signature), Ok(()));
        assert_eq!(key.public().verify(Statement::Facts, b"texu", &signature), wrong);
        let other = NodeSecret::from_seed(&[2; 32]).public();
        assert_eq!(other.verify(Statement::Facts, b"text", &signature), wrong);
        assert!(key.public().verify(Statement::Leave, b"text", &signature).is_err());
    }

    #[test]
    fn a_weak_key_verifies_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let weak = NodePublic::from_bytes(identity);
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(weak.verify(Statement::Facts, b"", &Signature(signature)).is_err());
        assert!(weak.box_public().is_none());
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        let key = AuthoritySecret::from_seed(&[0xab; 32]);
        assert!(!format!("{key:?}").contains(&hex(key.seed())));
    }

    #[test]
    fn a_box_to_a_node_key_opens_with_its_secret_alone() {
        let key = NodeSecret::from_seed(&[1; 32]);
        let public = key.public().box_public().unwrap();
        assert_eq!(public, key.box_secret().public());
        let sealed = public.seal(Purpose::RingKey, b"", b"ring", &[9; 32]).unwrap();
        assert_eq!(*key.box_secret().open(Purpose::RingKey, b"", &sealed).unwrap(), b"ring");
        assert!(NodeSecret::from_seed(&[2; 32]).box_secret().open(Purpose::RingKey, b"", &sealed).is_err());
    }
}
