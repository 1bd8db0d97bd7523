//! A virtual shelf: PCs on a wire with the real boot server, for the command, the demo and the tests.
//!
//! The shelf is a handle: the programs run under the keeper, in a network of their own.
//! Letting go of it switches everything off, and so does the death of this process.

use super::console::{self, Answer};
use super::keeper::{Event, Order, Plan, relay_socket};
use super::layout::{Layout, serve_program};
use super::machine::{self, Dhcp, PCS_MAX, Pc, Places, SERVER, USB_KEYBOARD};
use super::qmp::Qmp;
use super::stages::{ServerPc, Stage};
use super::watch::{Reached, View, Watch};
use super::{relay, wire};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the network and the boot server may take to be there.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long QEMU may take to end in an orderly way.
const END_MAX: Duration = Duration::from_secs(5);
/// How long QEMU may take to open its control socket.
const QMP_MAX: Duration = Duration::from_secs(15);
/// How long a busy PC may take to show what is typed.
const ECHO_MAX: Duration = Duration::from_secs(10);
/// How often the boot server is asked for the stages; for a counting PC more often.
const ASK: Duration = Duration::from_millis(200);
const ASK_OFTEN: Duration = Duration::from_millis(40);
/// How often the counting looks whether the shelf is still there.
const COUNT_MAX: Duration = Duration::from_secs(1);
/// How long the control shell may take after the PC is up.
const SHELL_MAX: Duration = Duration::from_secs(60);
/// How long a PC may take to answer a question.
const NODE_MAX: Duration = Duration::from_secs(20);
const EVENTS_MAX: usize = 256;
/// The pages of the PCs are at 8001, 8002 and so on, where these ports are free.
const PAGE_PORT: u16 = 8000;
const NODE_PORT: u16 = 8000;
/// Lines of the serial log in an error.
const TAIL_LINES: usize = 12;

/// What a shelf is made of.
#[derive(Debug, Clone)]
pub struct Options {
    pub pcs: Vec<Pc>,
    pub dhcp: Dhcp,
    /// The folder `releases` with the file `promoted`.
    pub releases: PathBuf,
    /// Takes logs, sound and the boot server's state.
    pub logs: PathBuf,
    /// The program `duet`, which serves as keeper and boot server.
    pub program: PathBuf,
    /// Listen on 127.0.0.1 for the pages.
    pub pages: bool,
    /// Lines of duet.toml, before those for each PC.
    pub settings: String,
    /// The shelf of models that the boot server offers; without one the PCs come up without models.
    pub models: Option<PathBuf>,
}

/// A running shelf.
pub struct Shelf {
    pcs: Vec<Pc>,
    places: Vec<Places>,
    layout: Layout,
    keeper: Child,
    orders: Option<ChildStdin>,
    watch: Arc<Watch>,
    /// Programs that ended and that nobody stopped.
    ended: Arc<Mutex<BTreeMap<String, String>>>,
    pages: Vec<SocketAddr>,
}

impl Shelf {
    /// Lays the wire and starts the boot server; the PCs stay off.
    pub fn start(options: Options) -> Result<Self> {
        let n_pcs = options.pcs.len();
        ensure!((1..=PCS_MAX).contains(&n_pcs), "a shelf has 1 to {PCS_MAX} PCs, not {n_pcs}");
        let layout = Layout::make(&options)?;
        let places: Vec<_> =
            (0..n_pcs).map(|pc_idx| Places::new(&options.logs, &layout.sockets, pc_idx)).collect();
        let plan = plan(&options, &layout, &places)?;
        let watch = Watch::start(places.iter().map(|places| places.serial_log.clone()).collect());
        let (keeper, orders, events) = start_keeper(&options.program, &plan)?;
        let ended = Arc::default();
        let mut shelf = Self {
            pcs: options.pcs,
            places,
            layout,
            keeper,
            orders: Some(orders),
            watch,
            ended,
            pages: vec![],
        };
        wait_ready(&events)?;
        shelf.follow(events);
        if options.dhcp == Dhcp::Proxy {
            shelf.order(&Order::Start(ROUTER_NAME.to_owned()))?;
        }
        shelf.order(&Order::Start(SERVER_NAME.to_owned()))?;
        shelf.wait_server()?;
        shelf.ask_server();
        if options.pages {
            shelf.open_pages()?;
        }
        Ok(shelf)
    }

    /// How many PCs stand on the shelf.
    pub fn n_pcs(&self) -> usize {
        self.pcs.len()
    }

    /// What a PC is made of.
    pub fn pc(&self, pc_idx: usize) -> &Pc {
        &self.pcs[pc_idx]
    }

    /// Switches a PC on.
    pub fn power_on(&mut self, pc_idx: usize) -> Result<()> {
        let places = &self.places[pc_idx];
        for socket in [&places.console, &places.shell, &places.qmp] {
            let _ = std::fs::remove_file(socket);
        }
        self.forget_end(&machine::name(pc_idx));
        self.watch.switched_on(pc_idx);
        self.order(&Order::Start(machine::name(pc_idx)))?;
        if self.pcs[pc_idx].counting {
            count(&self.watch, pc_idx, self.places[pc_idx].qmp.clone());
        }
        Ok(())
    }

    /// Pulls the plug: nothing in the PC or in QEMU can do anything about it.
    pub fn pull_plug(&mut self, pc_idx: usize) -> Result<()> {
        self.order(&Order::Stop(machine::name(pc_idx)))?;
        self.wait_end(&machine::name(pc_idx))
    }

    /// Switches a PC off so that its speaker file is whole.
    pub fn power_off(&mut self, pc_idx: usize) -> Result<()> {
        Qmp::connect(&self.places[pc_idx].qmp, QMP_MAX)?.quit()?;
        self.wait_end(&machine::name(pc_idx))
    }

    /// Presses the reset button.
    pub fn reset(&mut self, pc_idx: usize) -> Result<()> {
        Qmp::connect(&self.places[pc_idx].qmp, QMP_MAX)?.reset()?;
        self.watch.switched_on(pc_idx);
        Ok(())
    }

    /// Presses a key for a while. Names are QEMU's: `f12`, `ctrl_r`.
    pub fn press(&self, pc_idx: usize, key: &str, hold: Duration) -> Result<()> {
        Qmp::connect(&self.places[pc_idx].qmp, QMP_MAX)?.press(key, hold)
    }

    /// Moves one key down or up.
    pub fn key(&self, pc_idx: usize, key: &str, down: bool) -> Result<()> {
        Qmp::connect(&self.places[pc_idx].qmp, QMP_MAX)?.key(key, down)
    }

    /// Pulls the keyboard out of a PC that was given one on USB.
    pub fn unplug_keyboard(&self, pc_idx: usize) -> Result<()> {
        Qmp::connect(&self.places[pc_idx].qmp, QMP_MAX)?.unplug(USB_KEYBOARD)
    }

    /// Runs a command on the PC's control shell.
    pub fn command(&self, pc_idx: usize, command: &str, limit: Duration) -> Result<Answer> {
        let shell = &self.places[pc_idx].shell;
        console::wait_for_shell(shell, SHELL_MAX)?;
        console::run(shell, command, limit)
    }

    /// Waits for a stage; the error says what the PC said last.
    pub fn wait_for(&self, pc_idx: usize, stage: Stage, limit: Duration) -> Result<Reached> {
        let seen = |view: &View| view.reached.iter().find(|reached| reached.stage >= stage).copied();
        self.wait_until(pc_idx, limit, stage.name(), seen)
    }

    /// Waits until the last stage of a counting PC has its count.
    pub fn wait_counted(&self, pc_idx: usize) {
        if self.pcs[pc_idx].counting {
            let counted = |view: &View| view.reached.last().and_then(|reached| reached.instructions);
            self.watch.wait(pc_idx, Instant::now() + END_MAX, counted);
        }
    }

    /// Waits for a line with these words.
    pub fn wait_line(&self, pc_idx: usize, words: &str, limit: Duration) -> Result<String> {
        let seen = |view: &View| {
            let line = view.lines.iter().find(|(_, line)| line.contains(words));
            line.map(|(_, line)| line.clone())
        };
        self.wait_until(pc_idx, limit, &format!("the line {words:?}"), seen)
    }

    fn wait_until<T>(
        &self,
        pc_idx: usize,
        limit: Duration,
        what: &str,
        seen: impl Fn(&View) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        let gone = |view: &View| view.ended.clone().map(Err);
        let end = self.watch.wait(pc_idx, deadline, |view| seen(view).map(Ok).or_else(|| gone(view)));
        let why = match end {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(how)) => format!("is off ({how})"),
            None => format!("did not get there within {} s", limit.as_secs()),
        };
        let log = &self.places[pc_idx].serial_log;
        let tail = self.view(pc_idx).tail(TAIL_LINES);
        bail!(
            "{} {why} while {what} was awaited; its last lines, more in {}:\n{tail}",
            machine::name(pc_idx),
            log.display()
        )
    }

    /// What is known of a PC.
    pub fn view(&self, pc_idx: usize) -> View {
        self.watch.view(pc_idx)
    }

    /// Where a PC's files are.
    pub fn places(&self, pc_idx: usize) -> &Places {
        &self.places[pc_idx]
    }

    /// The whole serial log of a PC.
    pub fn serial_text(&self, pc_idx: usize) -> Result<String> {
        let path = &self.places[pc_idx].serial_log;
        let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(console::plain(&String::from_utf8_lossy(&bytes)))
    }

    /// Types a line at a PC's serial line.
    pub fn type_line(&self, pc_idx: usize, line: &str) -> Result<()> {
        let path = &self.places[pc_idx].console;
        let mut stream = UnixStream::connect(path).context("nobody is at the serial line's other end")?;
        stream.set_read_timeout(Some(ASK))?;
        stream.write_all(format!("{line}\n").as_bytes()).context("the serial line takes nothing")?;
        // Who hangs up before the line has come back takes letters with him that the PC has not taken yet. What comes
        // back may be torn by a message of the kernel's, so this waits for a while and no longer.
        let (mut echo, mut bytes, deadline) = (String::new(), [0; 256], Instant::now() + ECHO_MAX);
        while !echo.contains(&format!("{line}\n")) && Instant::now() < deadline {
            let n = stream.read(&mut bytes).unwrap_or(0);
            echo.extend(String::from_utf8_lossy(&bytes[..n]).chars().filter(|letter| *letter != '\r'));
        }
        Ok(())
    }

    /// A command that runs a program on the virtual wire, as another machine there.
    pub fn on_the_wire(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.keeper.id().to_string());
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--net").arg(program);
        command
    }

    /// `GET` from the boot server.
    pub fn server_get(&self, path: &str) -> Result<String> {
        relay::get(&relay_socket(&self.layout.sockets), SocketAddrV4::new(SERVER, 80), path)
    }

    /// `GET` from a PC's page.
    pub fn node_get(&self, pc_idx: usize, path: &str) -> Result<String> {
        let address = self.view(pc_idx).address.context("the PC has no address yet")?;
        relay::get(&relay_socket(&self.layout.sockets), SocketAddrV4::new(address, NODE_PORT), path)
    }

    /// A question to a PC by somebody who may have a key; with a body it is posted. The status, and what came.
    pub fn node_ask(
        &self,
        pc_idx: usize,
        path: &str,
        key: Option<&str>,
        body: Option<&str>,
    ) -> Result<(u16, String)> {
        let address = self.view(pc_idx).address.context("the PC has no address yet")?;
        let head = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        let target = SocketAddrV4::new(address, NODE_PORT);
        relay::ask(&relay_socket(&self.layout.sockets), target, path, &head, body, NODE_MAX)
    }

    /// The boot server's own `out`.
    pub fn server_out(&self) -> &Path {
        &self.layout.server_out
    }

    /// What the boot server knows of the PCs.
    pub fn server_pcs(&self) -> Result<serde_json::Value> {
        let text = self.server_get("/api/pcs")?;
        serde_json::from_str(&text).context("the boot server sent something that is not JSON")
    }

    /// The pages on 127.0.0.1: the boot server's, then the PCs'.
    pub fn pages(&self) -> &[SocketAddr] {
        &self.pages
    }

    /// Writes the boot server's settings anew, from these PCs.
    pub fn change(&mut self, pc_idx: usize, change: impl FnOnce(&mut Pc)) -> Result<()> {
        change(&mut self.pcs[pc_idx]);
        self.layout.write_settings(&self.pcs)
    }

    /// Why the boot server is gone, if it is.
    pub fn server_end(&self) -> Option<String> {
        self.lock_ended().get(SERVER_NAME).cloned()
    }

    fn lock_ended(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_end(&self, name: &str) {
        self.lock_ended().remove(name);
    }

    fn order(&mut self, order: &Order) -> Result<()> {
        let orders = self.orders.as_mut().context("the shelf is closed")?;
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        orders.write_all(line.as_bytes()).context("the keeper of the virtual network is gone")
    }

    fn wait_end(&self, name: &str) -> Result<()> {
        let deadline = Instant::now() + END_MAX;
        while self.lock_ended().get(name).is_none() {
            ensure!(Instant::now() < deadline, "{name} does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn wait_server(&self) -> Result<()> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            let error = match self.server_pcs() {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let end = self.server_end();
            if end.is_some() || Instant::now() >= deadline {
                let log = std::fs::read_to_string(&self.layout.server_log).unwrap_or_default();
                let last = log.trim_end().lines().next_back().unwrap_or_default().to_owned();
                bail!(
                    "the boot server does not answer ({}): {last}",
                    end.unwrap_or_else(|| error.to_string())
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks the boot server how far the PCs are, until the shelf is gone.
    fn ask_server(&self) {
        let watch = Arc::downgrade(&self.watch);
        let (socket, n_pcs) = (relay_socket(&self.layout.sockets), self.pcs.len());
        let pause = if self.pcs.iter().any(|pc| pc.counting) { ASK_OFTEN } else { ASK };
        std::thread::spawn(move || {
            while let Some(watch) = watch.upgrade() {
                let answer = server_answer(&socket).unwrap_or_default();
                for pc_idx in 0..n_pcs {
                    if let Some(pc) = answer.iter().find(|pc| pc.mac == machine::mac(pc_idx)) {
                        watch.told(pc_idx, pc);
                    }
                }
                drop(watch);
                std::thread::sleep(pause);
            }
        });
    }

    /// Hears what the keeper says.
    fn follow(&mut self, events: Receiver<Event>) {
        let (ended, watch, n_pcs) = (self.ended.clone(), Arc::downgrade(&self.watch), self.pcs.len());
        std::thread::spawn(move || {
            for event in events {
                let (name, how) = match event {
                    Event::Ended { name, how } => (name, how),
                    Event::Failed(why) => (SERVER_NAME.to_owned(), why),
                    Event::Ready | Event::Started(_) => continue,
                };
                let pc_idx = (0..n_pcs).find(|&pc_idx| machine::name(pc_idx) == name);
                if let (Some(pc_idx), Some(watch)) = (pc_idx, watch.upgrade()) {
                    watch.switched_off(pc_idx, Some(how.clone()));
                }
                ended.lock().unwrap_or_else(PoisonError::into_inner).insert(name, how);
            }
        });
    }

    fn open_pages(&mut self) -> Result<()> {
        let socket = relay_socket(&self.layout.sockets);
        let server = Arc::new(|| Some(SocketAddrV4::new(SERVER, 80)));
        self.pages.push(relay::open_page(socket.clone(), PAGE_PORT, server)?);
        for pc_idx in 0..self.pcs.len() {
            let watch = Arc::downgrade(&self.watch);
            let target = Arc::new(move || {
                let address = watch.upgrade()?.view(pc_idx).address?;
                Some(SocketAddrV4::new(address, NODE_PORT))
            });
            self.pages.push(relay::open_page(socket.clone(), PAGE_PORT + 1 + pc_idx as u16, target)?);
        }
        Ok(())
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        for (pc_idx, places) in self.places.iter().enumerate() {
            if self.watch.view(pc_idx).power_on.is_some()
                && let Ok(mut qmp) = Qmp::connect(&places.qmp, Duration::ZERO)
            {
                let _ = qmp.quit();
            }
        }
        // The keeper ends with its input, and everything under it ends with the keeper.
        self.orders = None;
        let deadline = Instant::now() + END_MAX;
        while let Ok(None) = self.keeper.try_wait() {
            if Instant::now() >= deadline {
                let _ = self.keeper.kill();
                let _ = self.keeper.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = std::fs::remove_dir_all(&self.layout.sockets);
    }
}

/// What the boot server says of all PCs.
fn server_answer(socket: &Path) -> Result<Vec<ServerPc>> {
    #[derive(serde::Deserialize)]
    struct Answer {
        pcs: Vec<ServerPc>,
    }
    let text = relay::get(socket, SocketAddrV4::new(SERVER, 80), "/api/pcs")?;
    Ok(serde_json::from_str::<Answer>(&text)?.pcs)
}

/// Asks QEMU for its count at each stage, until the PC is off or the shelf is gone.
fn count(watch: &Arc<Watch>, pc_idx: usize, socket: PathBuf) {
    let watch = Arc::downgrade(watch);
    std::thread::spawn(move || -> Result<()> {
        let mut qmp = Qmp::connect(&socket, QMP_MAX)?;
        let mut n_counted = 0;
        while let Some(watch) = watch.upgrade() {
            let soon = Instant::now() + COUNT_MAX;
            let more = watch.wait(pc_idx, soon, |view| {
                (view.reached.len() > n_counted || view.ended.is_some()).then_some(view.reached.len())
            });
            let Some(n_reached) = more else { continue };
            let instructions = qmp.instructions()?;
            (n_counted..n_reached).for_each(|reached_idx| watch.counted(pc_idx, reached_idx, instructions));
            n_counted = n_reached;
        }
        Ok(())
    });
}

const SERVER_NAME: &str = "server";
const ROUTER_NAME: &str = "router";

fn plan(options: &Options, layout: &Layout, places: &[Places]) -> Result<Plan> {
    let mut programs = vec![serve_program(SERVER_NAME, options, layout)];
    if options.dhcp == Dhcp::Proxy {
        programs.push(layout.router_program(ROUTER_NAME));
    }
    for (pc_idx, (pc, places)) in options.pcs.iter().zip(places).enumerate() {
        programs.push(layout.pc_program(pc, pc_idx, places)?);
    }
    Ok(Plan { sockets: layout.sockets.clone(), wire: wire::lay(options.pcs.len()), programs })
}

fn start_keeper(program: &Path, plan: &Plan) -> Result<(Child, ChildStdin, Receiver<Event>)> {
    let entrance = wire::entrance()?;
    let mut keeper = Command::new(&entrance[0])
        .args(&entrance[1..])
        .arg(program)
        .args(["vm", "--keeper"])
        // Ctrl-C is for the outer program, which then ends the PCs in order.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("unshare of package util-linux does not start")?;
    let mut orders = keeper.stdin.take().context("the keeper has no input")?;
    let output = keeper.stdout.take().context("the keeper has no output")?;
    orders.write_all((serde_json::to_string(plan)? + "\n").as_bytes()).context("the keeper takes no plan")?;
    let (sender, events) = sync_channel(EVENTS_MAX);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let event = serde_json::from_str(&line).unwrap_or(Event::Failed(line));
            if sender.send(event).is_err() {
                break;
            }
        }
    });
    Ok((keeper, orders, events))
}

fn wait_ready(events: &Receiver<Event>) -> Result<()> {
    match events.recv_timeout(READY_MAX) {
        Ok(Event::Ready) => Ok(()),
        Ok(Event::Failed(why)) => bail!("{why}"),
        Ok(other) => bail!("the keeper of the virtual network said {other:?}"),
        Err(_) => bail!("the keeper of the virtual network did not start"),
    }
}
