//! The bill of materials: everything in the image, as SPDX 2.3 JSON.
//!
//! Debian packages come from dpkg's own records, the kernel from its package's
//! control file, our programs' crates from `cargo metadata` and `Cargo.lock`.
//! The document is a pure function of what is handed in: the same image gives
//! the same bytes, and its time is the image's epoch.
//! It states what packages declare and concludes nothing: reading licences is
//! the work of a person.

pub mod crates;
pub mod debian;
pub mod expression;

use crate::calendar::Moment;
use crates::Crate;
use debian::DebianPackage;
use expression::Refs;
use serde_json::{Value, json};

/// What the document describes.
#[derive(Debug, Clone, Default)]
pub struct Materials {
    /// The release's id; it makes the document's name unique.
    pub release: String,
    /// Debian's code name, as `trixie`.
    pub suite: String,
    /// Seconds since 1970: the image's epoch, never the clock.
    pub epoch: u64,
    pub debian: Vec<DebianPackage>,
    pub programs: Vec<Program>,
}

/// One of our own programs and what is linked into it.
#[derive(Debug, Clone, Default)]
pub struct Program {
    pub name: String,
    pub version: String,
    pub licence: String,
    pub crates: Vec<Crate>,
}

/// The SPDX name of the package that stands for the whole image.
const IMAGE: &str = "SPDXRef-Image";
const UNKNOWN: &str = "NOASSERTION";

/// The document as text, with a line feed at its end.
pub fn spdx(materials: &Materials) -> String {
    let mut document = Document::default();
    document.relate("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE);
    document.packages.push(image(materials));
    let mut debian: Vec<&DebianPackage> = materials.debian.iter().collect();
    debian.sort_by_key(|p| (&p.name, &p.architecture, &p.version));
    debian.dedup();
    for package in debian {
        document.add_debian(package, &materials.suite);
    }
    let mut programs: Vec<&Program> = materials.programs.iter().collect();
    programs.sort_by_key(|program| &program.name);
    for program in programs {
        document.add_program(program);
    }
    document.finish(materials)
}

#[derive(Default)]
struct Document {
    packages: Vec<Value>,
    relations: Vec<Value>,
    crates: std::collections::BTreeSet<String>,
    refs: Refs,
}

impl Document {
    fn add_debian(&mut self, package: &DebianPackage, suite: &str) {
        let id = spdx_id(&["Debian", &package.name, &package.architecture]);
        let licence = match &package.licences {
            Some(fields) => self.refs.expression_of_fields(&package.name, fields),
            None => UNKNOWN.to_string(),
        };
        let purl = format!(
            "pkg:deb/debian/{}@{}?arch={}&distro={}",
            encode(&package.name),
            encode(&package.version),
            encode(&package.architecture),
            encode(suite),
        );
        let mut value = package_value(&id, &package.name, &package.version, &licence, &purl);
        value["supplier"] = json!("Organization: Debian");
        value["sourceInfo"] =
            json!(format!("built from Debian source package {} {}", package.source, package.source_version));
        if !package.maintainer.is_empty() {
            value["comment"] =
                json!(format!("Architecture: {}; Maintainer: {}", package.architecture, package.maintainer));
        }
        if let Some(homepage) = package.homepage.as_ref().filter(|url| is_web_address(url)) {
            value["homepage"] = json!(homepage);
        }
        add_sha256(&mut value, package.sha256.as_deref());
        self.relate(IMAGE, "CONTAINS", &id);
        self.packages.push(value);
    }

    fn add_program(&mut self, program: &Program) {
        let id = spdx_id(&["Program", &program.name]);
        let purl = format!("pkg:cargo/{}@{}", encode(&program.name), encode(&program.version));
        let licence = self.refs.cargo(&program.name, &program.licence);
        let mut value = package_value(&id, &program.name, &program.version, &licence, &purl);
        value["primaryPackagePurpose"] = json!("APPLICATION");
        self.packages.push(value);
        self.relate(IMAGE, "CONTAINS", &id);
        let mut crates: Vec<&Crate> = program.crates.iter().collect();
        crates.sort();
        crates.dedup();
        for one in crates {
            let crate_id = spdx_id(&["Crate", &one.name, &one.version]);
            self.relate(&id, "CONTAINS", &crate_id);
            if self.crates.insert(crate_id.clone()) {
                self.add_crate(&crate_id, one);
            }
        }
    }

    fn add_crate(&mut self, id: &str, one: &Crate) {
        let licence = match &one.licence {
            Some(licence) => self.refs.cargo(&one.name, licence),
            None => UNKNOWN.to_string(),
        };
        let purl = format!("pkg:cargo/{}@{}", encode(&one.name), encode(&one.version));
        let mut value = package_value(id, &one.name, &one.version, &licence, &purl);
        value["primaryPackagePurpose"] = json!("LIBRARY");
        add_sha256(&mut value, one.sha256.as_deref());
        self.packages.push(value);
    }

    fn relate(&mut self, from: &str, how: &str, to: &str) {
        self.relations.push(json!({
            "spdxElementId": from, "relationshipType": how, "relatedSpdxElement": to,
        }));
    }

    fn finish(self, materials: &Materials) -> String {
        let mut document = json!({
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": format!("duet-{}", materials.release),
            // The form that SPDX gives to those who keep no web site of documents.
            "documentNamespace": format!("https://spdx.org/spdxdocs/duet-{}", encode(&materials.release)),
            "creationInfo": {
                "created": date(materials.epoch),
                "creators": [format!("Tool: duet-{}", env!("CARGO_PKG_VERSION"))],
            },
            "packages": self.packages,
            "relationships": self.relations,
        });
        let refs = self.refs.extracted();
        if !refs.is_empty() {
            document["hasExtractedLicensingInfos"] = Value::Array(refs);
        }
        format!("{document:#}\n")
    }
}

fn image(materials: &Materials) -> Value {
    json!({
        "SPDXID": IMAGE,
        "name": "duet-image",
        "versionInfo": materials.release,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    })
}

fn package_value(id: &str, name: &str, version: &str, licence: &str, purl: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": licence,
        "copyrightText": UNKNOWN,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl,
        }],
    })
}

fn add_sha256(value: &mut Value, sha256: Option<&str>) {
    if let Some(sha256) = sha256 {
        value["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": sha256 }]);
    }
}

/// Names may hold what SPDX does not allow; `+` and `_` become words, so that `a+b` and `a-b` stay apart.
fn spdx_id(parts: &[&str]) -> String {
    let mut id = "SPDXRef".to_string();
    for part in parts {
        id.push('-');
        for c in part.chars() {
            match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => id.push(c),
                '+' => id.push_str(".plus."),
                '_' => id.push_str(".line."),
                _ => id.push_str(".x."),
            }
        }
    }
    id
}

/// Percent-encoding as package URLs want it: the colon of a Debian epoch stays.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn is_web_address(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://"))
        && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte))
}

/// `1970-01-01T00:00:00Z`.
fn date(epoch: u64) -> String {
    let moment = Moment::of(epoch);
    format!("{}T{:02}:{:02}:{:02}Z", moment.date(), moment.hour, moment.minute, moment.second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn materials() -> Materials {
        let status = "Package: libc++\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.0+x~1-3\n\
                      Source: cxx (2.0)\nMaintainer: A Team <a@example.org>\nHomepage: https://example.org/a\n";
        let mut debian = debian::installed(status).unwrap();
        debian[0].sha256 = Some("ab".repeat(32));
        debian[0].licences = Some(vec!["GPL-2+".to_string(), "homemade".to_string()]);
        let one = |name: &str| Crate {
            name: name.to_string(),
            version: "1.0.0".to_string(),
            licence: Some("MIT/Apache-2.0".to_string()),
            sha256: None,
        };
        let program = |name: &str, crates: &[&str]| Program {
            name: name.to_string(),
            version: "0.1.0".to_string(),
            licence: "GPL-3.0-or-later".to_string(),
            crates: crates.iter().map(|name| one(name)).collect(),
        };
        Materials {
            release: "trixie-0123456789ab".to_string(),
            suite: "trixie".to_string(),
            epoch: 1_760_000_000,
            debian,
            programs: vec![program("rpc-worker", &["b", "a", "b"]), program("agent", &["a"])],
        }
    }

    /// What stands at a place of the document.
    fn check(pointer: &str, want: &str) {
        let document: Value = serde_json::from_str(&spdx(&materials())).unwrap();
        let got = document.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(got.as_str().map_or_else(|| got.to_string(), str::to_string), want, "{pointer}");
    }

    #[test]
    fn the_document_names_its_release_and_its_epoch() {
        check("/documentNamespace", "https://spdx.org/spdxdocs/duet-trixie-0123456789ab");
        check("/creationInfo/created", "2025-10-09T08:53:20Z");
    }

    #[test]
    fn a_debian_package_has_its_url_hash_and_source() {
        check("/packages/1/SPDXID", "SPDXRef-Debian-libc.plus..plus.-amd64");
        check("/packages/1/versionInfo", "1:2.0+x~1-3");
        check(
            "/packages/1/externalRefs/0/referenceLocator",
            "pkg:deb/debian/libc%2B%2B@1:2.0%2Bx~1-3?arch=amd64&distro=trixie",
        );
        check("/packages/1/checksums/0/checksumValue", &"ab".repeat(32));
        check("/packages/1/sourceInfo", "built from Debian source package cxx 2.0");
    }

    #[test]
    fn a_licence_that_spdx_does_not_know_is_explained() {
        check("/packages/1/licenseDeclared", "GPL-2.0-or-later AND LicenseRef-homemade");
        check("/hasExtractedLicensingInfos/0/licenseId", "LicenseRef-homemade");
    }

    #[test]
    fn a_crate_in_two_programs_is_one_package_with_two_relations() {
        let document: Value = serde_json::from_str(&spdx(&materials())).unwrap();
        let count = |list: &str, key: &str| {
            let all = document[list].as_array().unwrap();
            all.iter().filter(|value| value[key] == "SPDXRef-Crate-a-1.0.0").count()
        };
        assert_eq!((count("packages", "SPDXID"), count("relationships", "relatedSpdxElement")), (1, 2));
    }

    #[test]
    fn the_order_of_what_is_handed_in_does_not_matter() {
        let mut turned = materials();
        turned.programs.reverse();
        turned.programs.iter_mut().for_each(|program| program.crates.reverse());
        assert_eq!(spdx(&turned), spdx(&materials()));
    }

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
