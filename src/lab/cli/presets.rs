//! `lab new`: which fleet.

use super::{Fault, build, told};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use xen_drbd::core::drbd::{Fencing, Generation};
use xen_drbd::core::xen::Toolstack;
use xen_drbd::lab::folder::Folder;
use xen_drbd::lab::{DiskForm, Lab};

/// Real seconds for each second of copied memory: 512 MiB, which take 5 s, go over in some 2 s.
const PACE: f64 = 0.3;

/// The arguments of `new`.
#[derive(Debug, Args)]
pub struct New {
    /// The folder; it is made
    target: PathBuf,
    /// article: three Dom0s with eight domUs; pair: two Dom0s and the domU web
    #[arg(long, value_enum, default_value_t = Preset::Article)]
    preset: Preset,
    /// DRBD's generation
    #[arg(long, value_name = "8.3|8.4|9", default_value = "8.4", value_parser = ["8.3", "8.4", "9"])]
    drbd: String,
    /// Xen's toolstack
    #[arg(long, value_name = "xl|xm", default_value = "xl", value_parser = ["xl", "xm"])]
    toolstack: String,
    /// How the domU configs name their disks
    #[arg(long, value_name = "drbd|phy", default_value = "drbd", value_parser = ["drbd", "phy"])]
    disks: String,
    /// Real seconds for a second of copied memory
    #[arg(long, value_name = "FACTOR", default_value_t = PACE)]
    pace: f64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    Article,
    Pair,
}

impl New {
    /// The article's fleet, in this folder.
    pub fn article(target: PathBuf) -> New {
        let word = str::to_string;
        New { target, preset: Preset::Article, drbd: word("8.4"), toolstack: word("xl"), disks: word("drbd"), pace: PACE }
    }
}

/// Makes it.
pub fn make(new: &New, tool: Option<&Path>) -> Result<Folder, Fault> {
    let generation = match new.drbd.as_str() {
        "8.3" => Generation::V83,
        "8.4" => Generation::V84,
        _ => Generation::V9,
    };
    let toolstack = if new.toolstack == "xm" { Toolstack::Xm } else { Toolstack::Xl };
    let form = if new.disks == "phy" { DiskForm::Phy } else { DiskForm::Script };
    let lab = match new.preset {
        Preset::Article => Lab::article_of(generation, toolstack, form),
        Preset::Pair => Lab::pair(generation, toolstack, form),
    };
    if generation == Generation::V83 {
        // It cannot allow two Primaries at run time: what `xen-migrate check` asks an operator to write.
        for resource in lab.fleet().resources {
            lab.configure(&resource.name, |conf| {
                conf.two_primaries = true;
                conf.fencing = Fencing::ResourceOnly;
            });
        }
    }
    let folder = told(Folder::make(&new.target, lab, &build::programs(tool)?))?;
    told(folder.set_pace(new.pace))?;
    Ok(folder)
}
