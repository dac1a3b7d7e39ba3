//! The authority as a real process: what it promises, under crashes, full disks and wrong callers.

mod access;
mod crash;
mod disk;
mod feed;
mod import;
mod interface;
mod load;
mod process;
