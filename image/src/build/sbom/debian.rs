//! What Debian says about its packages: dpkg's status file, control files and
//! machine-readable copyright files (DEP-5).

use std::collections::BTreeSet;
use std::fmt;

/// One installed binary package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DebianPackage {
    pub name: String,
    pub version: String,
    pub architecture: String,
    pub source: String,
    pub source_version: String,
    pub maintainer: String,
    pub homepage: Option<String>,
    /// Of the package file; the lock file knows it.
    pub sha256: Option<String>,
    /// The copyright file's `License` fields, if the file is machine-readable.
    pub licences: Option<Vec<String>>,
}

/// A record of dpkg that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusError {
    /// Neither a field nor the continuation of one.
    Field { line: usize },
    /// A package without a name, version or architecture.
    Lacks { line: usize, field: &'static str },
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { line } => write!(f, "line {line}: neither a field nor the continuation of one"),
            Self::Lacks { line, field } => write!(f, "the package before line {line} has no field {field}"),
        }
    }
}

impl std::error::Error for StatusError {}

/// The installed packages of `var/lib/dpkg/status`; packages that are only configured away are left out.
pub fn installed(status: &str) -> Result<Vec<DebianPackage>, StatusError> {
    let mut packages = Vec::new();
    for paragraph in paragraphs(status) {
        let paragraph = paragraph?;
        if paragraph.get("status").is_some_and(|status| status.ends_with(" installed")) {
            packages.push(package(&paragraph)?);
        }
    }
    Ok(packages)
}

/// One package from its control file, as `dpkg-deb --field` prints it.
pub fn control(text: &str) -> Result<DebianPackage, StatusError> {
    match paragraphs(text).next() {
        Some(paragraph) => package(&paragraph?),
        None => Err(StatusError::Lacks { line: 1, field: "Package" }),
    }
}

/// The `License` fields' short names, once each and sorted; `None` if the file is not in DEP-5's form.
pub fn licences(copyright: &str) -> Option<Vec<String>> {
    let is_dep5 = copyright.lines().next()?.contains("copyright-format/");
    let mut names = BTreeSet::new();
    for paragraph in paragraphs(copyright) {
        // A paragraph of a licence alone gives the text to a name used before.
        let Ok(paragraph) = paragraph else { continue };
        let speaks_of_files = paragraph.get("files").is_some() || paragraph.get("format").is_some();
        if let Some(licence) = paragraph.get("license").filter(|name| speaks_of_files && !name.is_empty()) {
            names.insert(licence.to_string());
        }
    }
    (is_dep5 && !names.is_empty()).then(|| names.into_iter().collect())
}

fn package(paragraph: &Paragraph<'_>) -> Result<DebianPackage, StatusError> {
    let must = |name: &str, field: &'static str| {
        let value = paragraph.get(name).filter(|value| !value.is_empty());
        value.map(str::to_string).ok_or(StatusError::Lacks { line: paragraph.end, field })
    };
    let name = must("package", "Package")?;
    let version = must("version", "Version")?;
    let (source, source_version) = match paragraph.get("source").map(|source| source.split_once(' ')) {
        None => (name.clone(), version.clone()),
        Some(None) => (paragraph.get("source").unwrap_or_default().to_string(), version.clone()),
        Some(Some((source, version))) => {
            (source.to_string(), version.trim_matches(|c| "() ".contains(c)).to_string())
        }
    };
    Ok(DebianPackage {
        architecture: must("architecture", "Architecture")?,
        maintainer: paragraph.get("maintainer").unwrap_or_default().to_string(),
        homepage: paragraph.get("homepage").map(str::to_string),
        name,
        version,
        source,
        source_version,
        ..DebianPackage::default()
    })
}

/// Fields of one paragraph with the first line of each value.
struct Paragraph<'a> {
    fields: Vec<(&'a str, &'a str)>,
    end: usize,
}

impl<'a> Paragraph<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// Paragraphs of a control file: fields with continuation lines, apart by empty lines.
fn paragraphs(text: &str) -> impl Iterator<Item = Result<Paragraph<'_>, StatusError>> {
    let mut lines = text.lines().enumerate().peekable();
    std::iter::from_fn(move || {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        let mut wrong = None;
        for (idx, line) in lines.by_ref() {
            if line.trim().is_empty() {
                if fields.is_empty() && wrong.is_none() {
                    continue;
                }
                return Some(wrong.map_or(Ok(Paragraph { fields, end: idx + 1 }), Err));
            }
            if line.starts_with(['#', ' ', '\t']) {
                // A value may begin on the line after its name, as in `License:` of some files.
                if let Some((_, value)) = fields.last_mut().filter(|(_, value)| value.is_empty()) {
                    *value = line.trim();
                }
                continue;
            }
            match line.split_once(':') {
                Some((name, value)) => fields.push((name.trim(), value.trim())),
                None => wrong = wrong.or(Some(StatusError::Field { line: idx + 1 })),
            }
        }
        let end = text.lines().count() + 1;
        (!fields.is_empty() || wrong.is_some()).then(|| wrong.map_or(Ok(Paragraph { fields, end }), Err))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: &str, want: &str) {
        let got = match installed(status) {
            Ok(all) => all
                .iter()
                .map(|p| format!("{} {} from {} {}\n", p.name, p.version, p.source, p.source_version))
                .collect(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
    }

    fn check_licences(copyright: &str, want: Option<&[&str]>) {
        let got = licences(copyright);
        assert_eq!(
            got.as_ref().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>()).as_deref(),
            want
        );
    }

    #[test]
    fn an_installed_package_has_its_source_and_its_version() {
        check(
            "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1-1\nDescription: x\n more: words\n\n\
             Package: b\nStatus: hold ok installed\nArchitecture: amd64\nSource: bb (2-0)\nVersion: 2-0+b1\n",
            "a 1-1 from a 1-1\nb 2-0+b1 from bb 2-0\n",
        );
    }

    #[test]
    fn a_package_that_was_removed_is_left_out() {
        check("Package: a\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n", "");
    }

    #[test]
    fn a_package_without_a_version_is_an_error() {
        let text = "Package: a\nStatus: install ok installed\nArchitecture: all\n\n";
        check(text, "error: the package before line 4 has no field Version");
    }

    #[test]
    fn a_line_that_is_no_field_is_an_error_with_its_number() {
        check("Package: a\nnonsense\n", "error: line 2: neither a field nor the continuation of one");
    }

    #[test]
    fn licences_are_those_of_files_once_each() {
        check_licences(
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
             Files: *\nCopyright: x\nLicense: GPL-2+\n words\n\nFiles: a\nLicense:\n MIT\n\nFiles: b\nLicense: GPL-2+\n\n\
             License: BSD\n text\n",
            Some(&["GPL-2+", "MIT"]),
        );
    }

    #[test]
    fn a_copyright_file_of_free_words_says_nothing() {
        check_licences("This package was debianized by someone.\nLicense: GPL\n", None);
    }
}
