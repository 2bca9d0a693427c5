//! In place of the dashboard, in a program that was built without it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use tenure::tasks::RunningTasks;
use tenure::{TaskScheduling, Tenure};

use crate::args::RunArgs;
use crate::exit::{Code, Failure};
use crate::file::DashboardEntry;
use crate::store::Chosen;

/// There is none.
pub(super) struct Desk(Infallible);

impl Desk {
    pub(super) async fn open(
        args: &RunArgs,
        entry: Option<DashboardEntry>,
    ) -> Result<Option<Self>, Failure> {
        let address = entry.and_then(|entry| entry.address);
        if args.no_dashboard || args.dashboard.or(address).is_none() {
            return std::future::ready(Ok(None)).await;
        }
        let message = "this program was built without the dashboard";
        Err(Failure::new(Code::CONFIG, message).help("leave --dashboard and [dashboard] out"))
    }

    pub(super) fn watch(&self, _: TaskScheduling<()>) -> TaskScheduling<()> {
        match self.0 {}
    }

    pub(super) fn serve(
        self,
        _: &Tenure,
        _: &Chosen,
        _: &Arc<RunningTasks>,
    ) -> Result<SocketAddr, Failure> {
        match self.0 {}
    }
}
