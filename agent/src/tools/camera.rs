//! Cameras of this PC: which there are, and one picture of one of them, as a file in the workspace.

mod picture;

use super::Limits;
use crate::io::video::{self, Frame};
use picture::Picture;
use std::fs::Permissions;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

const CAMERAS_MAX: usize = 16;
const NAME_BYTES_MAX: u64 = 64;
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const KINDS: [[u8; 4]; 2] = [*b"MJPG", *b"YUYV"];
const NONE: &str =
    "this PC has no camera, or its driver is missing; `duet build --profile camera` adds drivers";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// `video0`.
    pub device: String,
    /// As its maker calls it, in plain letters.
    pub name: String,
}

/// The cameras that the kernel tells of below `root`.
pub fn cameras(root: &Path) -> Vec<Camera> {
    let entries = std::fs::read_dir(root.join("sys/class/video4linux")).into_iter().flatten().flatten();
    let read = |entry: std::fs::DirEntry| {
        let device = entry.file_name().into_string().ok().filter(|name| is_device(name))?;
        let mut name = Vec::new();
        let file = File::open(entry.path().join("name"));
        let _ = file.and_then(|file| file.take(NAME_BYTES_MAX).read_to_end(&mut name));
        let plain = |letter: char| letter.is_ascii_alphanumeric() || " .:-_()".contains(letter);
        let name = String::from_utf8_lossy(&name).chars().filter(|letter| plain(*letter)).collect::<String>();
        Some(Camera { device, name: name.trim().to_owned() })
    };
    let mut all: Vec<Camera> = entries.filter_map(read).collect();
    all.sort_unstable_by(|a, b| a.device.cmp(&b.device));
    all.truncate(CAMERAS_MAX);
    all
}

fn is_device(name: &str) -> bool {
    let number = name.strip_prefix("video").unwrap_or_default();
    (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// For persons and models.
pub fn list(root: &Path) -> Result<String, String> {
    let all = cameras(root);
    if all.is_empty() {
        return Err(NONE.into());
    }
    let line = |camera: &Camera| format!("{}: {}", camera.device, camera.name);
    Ok(all.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Takes a picture and says where it is. Without a name the first camera that gives pictures is taken.
pub fn take(
    root: &Path,
    wish: Option<&str>,
    workspace: &Path,
    limits: &Limits<'_>,
) -> Result<String, String> {
    let all = cameras(root);
    if all.is_empty() {
        return Err(NONE.into());
    }
    let wanted = |camera: &&Camera| wish.is_none_or(|wish| wish == camera.device);
    let mut last = format!("there is no camera {}", wish.unwrap_or_default());
    for camera in all.iter().filter(wanted) {
        match shoot(&root.join("dev").join(&camera.device), limits).and_then(|frame| picture::develop(&frame))
        {
            Ok(picture) => return keep(&picture, camera, workspace),
            Err(why) => last = format!("{}: {why}", camera.device),
        }
    }
    Err(last)
}

fn shoot(device: &Path, limits: &Limits<'_>) -> Result<Frame, String> {
    let file = OpenOptions::new().read(true).write(true).open(device);
    let file = file.map_err(|error| format!("it cannot be opened: {error}"))?;
    video::frame(&file, WIDTH, HEIGHT, &KINDS, &|| limits.left()).map_err(|error| error.to_string())
}

fn keep(picture: &Picture, camera: &Camera, workspace: &Path) -> Result<String, String> {
    let name = format!("{}.{}", camera.device, picture.ending);
    let failed = |error: std::io::Error| format!("the picture cannot be kept: {error}");
    let (path, beside) = (workspace.join(&name), workspace.join(format!(".{name}.new")));
    // Whatever lies there may be a link of somebody's code; it is not followed.
    let _ = std::fs::remove_file(&beside);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside);
    let written = file.and_then(|mut file| {
        // The unit's UMask takes rights away, and code behind bars is another user.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(&picture.bytes)
    });
    written.map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)?;
    Ok(format!("a picture of {} x {} is in the workspace: {name}", picture.width, picture.height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    fn root(name: &str, cameras: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("duet-camera-{name}-{}", std::process::id()));
        for (device, name) in cameras {
            let folder = root.join("sys/class/video4linux").join(device);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("name"), name).unwrap();
        }
        std::fs::create_dir_all(root.join("dev")).unwrap();
        root
    }

    #[test]
    fn a_camera_is_a_device_with_a_plain_name() {
        let all = [("video0", "HD \u{1b}[2JWebcam: HD\n"), ("v4l-subdev0", "x"), ("video0x", "x")];
        let root = root("names", &all);
        assert_eq!(list(&root), Ok("video0: HD 2JWebcam: HD".into()));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_pc_without_a_camera_says_so() {
        assert_eq!(list(Path::new("/nowhere")), Err(NONE.into()));
    }

    #[test]
    fn what_is_no_camera_is_told() {
        let root = root("none", &[("video0", "A file")]);
        std::fs::write(root.join("dev/video0"), "no camera").unwrap();
        let stop = AtomicBool::new(false);
        let limits =
            Limits { deadline: Instant::now() + Duration::from_secs(60), output_max: 100, stop: &stop };
        assert_eq!(take(&root, None, &root, &limits), Err("video0: it gives no pictures".into()));
        assert_eq!(take(&root, Some("video7"), &root, &limits), Err("there is no camera video7".into()));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
