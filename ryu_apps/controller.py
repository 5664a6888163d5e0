"""The control process: `ryu-manager ryu_apps/controller.py`. Wires the rooms of `ryu_apps` together.

Handlers here only pass on: they run in the greenthread that feeds OpenFlow, which must never wait.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import Any

import eventlet
from ryu.app.wsgi import WSGIApplication
from ryu.base.app_manager import RyuApp
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub
from ryu.ofproto import ofproto_v1_3 as ofproto

from runtime import cores, log, priority, settings, tokens
from runtime.channel import Message
from runtime.errors import DynsegError
from ryu_apps import parsers, rest, startup
from ryu_apps.copies import Copies
from ryu_apps.counters import Counters
from ryu_apps.explain import Explain
from ryu_apps.lag import LagMeter
from ryu_apps.limits import Limits
from ryu_apps.ovsdb import Ovsdb
from ryu_apps.peer import Peer
from ryu_apps.relay import Relay
from ryu_apps.session import Port, SwitchError
from ryu_apps.sessions import Sessions
from ryu_apps.status import Status
from ryu_apps.supervisor import Supervisor
from ryu_apps.watched import Watched
from ryu_apps.wire import multipart
from topology import inventory


class Control(RyuApp):
    """The Ryu application."""

    OFP_VERSIONS = [ofproto.OFP_VERSION]  # noqa: RUF012 - Ryu's interface
    _CONTEXTS = {"wsgi": WSGIApplication}  # noqa: RUF012 - Ryu's interface

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            self._build(kwargs["wsgi"])
        except DynsegError as error:
            sys.exit(f"dynseg control cannot start: {error}")

    def _build(self, wsgi: WSGIApplication) -> None:
        config = settings.load()
        self._log = log.configure("control", config.log_level, config.log_format)
        priority.take(priority.SWITCH)
        cores.forbid()  # copies of packets pass through here
        startup.set_ryu_defaults(config)
        network = inventory.load(config.inventory)
        self._lock = startup.own_run_dir(config)
        startup.check_ports(config)
        startup.check_ovsdb(config)
        bearers = tokens.load_or_create(config.tokens_file)

        hello = Message("hello", {"role": "control", "pid": os.getpid(), "version": startup.product_version()})
        self._engine = Peer("engine", self._from_engine, self._greet_engine)
        self._analyzer = Peer("analyzer", self._from_analyzer, self._greet_analyzer)
        targets = startup.targets(config) if config.ovsdb.manage_bridges else None
        self._sessions = Sessions(network, self._announce)
        on_ids, on_bridges = self._sessions.on_interface_ids, self._on_bridges
        self._ovsdb = Ovsdb(config.ovsdb.endpoint, network, targets, on_ids, on_bridges)
        self._limits = Limits(network, self._sessions, self._ovsdb, config.openflow.connections_per_vm)
        self._relay = Relay(self._sessions, self._engine, self._ovsdb.wait_until_followed)
        self._counters = Counters(self._sessions, [self._analyzer, self._engine], config.openflow.statistics_seconds)
        self._copies = Copies(self._sessions, self._analyzer)
        parsers.install(self._copies.take, self._on_statistics)
        self._lag = LagMeter()
        peers = {"engine": self._engine, "analyzer": self._analyzer}
        sockets = {"engine": config.engine_socket, "analyzer": config.analyzer_socket}
        if config.metrics.url is not None:
            peers["metrics"] = Peer("metrics", self._from_metrics)
            sockets["metrics"] = config.metrics_socket
        self._supervisors = {
            name: Supervisor(peer, sockets[name], config.run_dir, hello) for name, peer in peers.items()
        }
        status = Status(
            version=startup.product_version(),
            inventory=network,
            sessions=self._sessions,
            ovsdb=self._ovsdb,
            lag=self._lag,
            copies=self._copies,
            supervisors=self._supervisors,
            peers=peers,
        )
        explain = Explain(self._engine, self._ovsdb.trace)
        self._watched = Watched(status, peers, startup.product_version(), config.metrics.interval_seconds)
        views = status.collect, explain.answer, self._watched.exposition, self._watched.log_level
        rest.register(wsgi, rest.Backend(bearers, peers, *views))

    def start(self) -> None:
        """Start the rooms' greenthreads; Ryu calls this once everything is instantiated."""
        super().start()
        for supervisor in self._supervisors.values():
            hub.spawn(supervisor.run)
        for room in (self._ovsdb, self._counters, self._lag, self._watched):
            hub.spawn(room.run)
        _end_on_signals(hub.getcurrent())
        # What is there by now stays: the collector would look through Ryu's hundreds of thousands of objects again and
        # again, for up to a tenth of a second, and nobody would be answered meanwhile.
        gc.collect()
        gc.freeze()
        self._log.info("control of %s is up as process %d", startup.product_version(), os.getpid())

    def close(self) -> None:
        """An orderly end takes engine and analyzer along; Ryu calls this."""
        ending = [hub.spawn(supervisor.stop) for supervisor in self._supervisors.values()]
        hub.joinall(ending)
        self._ovsdb.close()
        self._lock.truncate(0)
        self._lock.close()

    @set_ev_cls(ofp_event.EventOFPPortDescStatsReply, CONFIG_DISPATCHER)
    def on_port_descriptions(self, event: Any) -> None:
        """Ports of a VFN that is connecting."""
        ports = {port.port_no: _port(port) for port in event.msg.body}
        self._sessions.on_described(event.msg.datapath, ports)

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def on_state(self, event: Any) -> None:
        """A VFN is there, or gone."""
        if event.state == MAIN_DISPATCHER:
            self._sessions.on_connected(event.datapath)
            session = self._sessions.of(event.datapath)
            if session is not None:
                self._limits.set(session)
                self._ovsdb.favour_switch()  # it may have started anew
        else:
            self._sessions.on_closed(event.datapath)

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def on_port_status(self, event: Any) -> None:
        """A port came, changed or went."""
        gone = event.msg.reason == ofproto.OFPPR_DELETE
        port = event.msg.desc
        self._sessions.on_port(event.msg.datapath, port.port_no, None if gone else _port(port))

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def on_barrier(self, event: Any) -> None:
        """Everything before a barrier is done."""
        session = self._sessions.of(event.msg.datapath)
        if session is not None:
            session.on_barrier(event.msg.xid)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def on_error(self, event: Any) -> None:
        """The switch refuses something."""
        session, msg = self._sessions.of(event.msg.datapath), event.msg
        if session is not None:
            code = msg.exp_type if msg.type == ofproto.OFPET_EXPERIMENTER else msg.code
            session.on_error(msg.xid, SwitchError(msg.type, code, bytes(msg.data)))

    def _on_statistics(self, datapath: Any, message: bytes) -> None:
        """Statistics of a VFN have come, or its flow monitor reports."""
        part, session = multipart.split(message), self._sessions.of(datapath)
        if session is None:
            return
        if part.kind == multipart.EXPERIMENTER:
            self._relay.changed(session, part.body)
        else:
            session.on_part(part)

    def _on_bridges(self) -> None:
        self._limits.set_all()
        self._ovsdb.favour_switch()

    def _from_engine(self, message: Message) -> None:
        self._relay.take(message)

    def _from_analyzer(self, message: Message) -> None:
        self._log.error("the analyzer sent a message of unknown kind %r", message.kind)

    def _from_metrics(self, message: Message) -> None:
        self._log.error("the writer of metrics sent a message of unknown kind %r", message.kind)

    def _announce(self, message: Message) -> None:
        self._engine.send(message)
        if message.kind != "vfn_down":
            self._analyzer.send(Message("vfn_ports", message.data))

    def _greet_engine(self) -> None:
        for message in self._sessions.up_messages():
            self._engine.send(message)

    def _greet_analyzer(self) -> None:
        for message in self._sessions.up_messages():
            self._analyzer.send(Message("vfn_ports", message.data))


def _port(port: Any) -> Port:
    mac = bytes.fromhex(port.hw_addr.replace(":", ""))
    return Port(str(port.name, "utf-8", "replace"), mac, bool(port.config & ofproto.OFPPC_PORT_DOWN))


def _end_on_signals(main: Any) -> None:
    """SIGTERM and SIGINT end ryu-manager the way it ends itself: a KeyboardInterrupt in its own greenlet.

    Raised by Python's own handler, it would end whichever greenthread happens to run. The pipe wakes the hub.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda _number, _frame: None)

    def wait() -> None:
        os.read(reader, 1)
        eventlet.kill(main, KeyboardInterrupt)

    hub.spawn(wait)
