#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The exchanges of a training step between ranks in network namespaces of this machine, with a limited rate, beside the
cost model of docs/scaling.md. Needs root, mpirun, ip and tc.

    bench/exchange_speed.py build/release/bench/exchange_speed [--ranks 2] [--rates 100mbit 1gbit 10gbit]
        [--delays 0 1 5]

Prints a row of a table per rate and delay. A rank has a namespace, a host name and one end of a virtual cable to a
bridge. With a delay in milliseconds, for which kernels need an extra module (netem), a switch in this program replaces
the bridge and delays every frame.
"""
import argparse
import collections
import fcntl
import itertools
import json
import os
import select
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

BRIDGE = "bantam0"
NETWORK = "10.78.0."


def ip(*words, check=True):
    subprocess.run(["ip", *map(str, words)], check=check, capture_output=not check)


class DelayingSwitch(threading.Thread):
    """Forwards Ethernet frames among network interfaces that it adds, each after `delay` seconds."""

    TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h

    def __init__(self, names, delay):
        super().__init__(daemon=True)
        self.delay = delay
        self.stopped = False
        self.ports = [self.add_interface(name) for name in names]

    def add_interface(self, name):
        port = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(port, self.TUNSETIFF, struct.pack("16sH22x", name.encode(), self.IFF_TAP | self.IFF_NO_PI))
        return port

    def run(self):
        # Before the ranks, which keep all processors busy while they wait for a message.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -20)
        delayed = collections.deque()  # (due time, port, frame), in the order of their due times
        port_of_address = {}
        while not self.stopped:
            timeout = max(0, delayed[0][0] - time.monotonic()) if delayed else 0.05
            for port in select.select(self.ports, [], [], timeout)[0]:
                frame = os.read(port, 65536)
                port_of_address[frame[6:12]] = port
                target = port_of_address.get(frame[:6])
                for to in [target] if target else [other for other in self.ports if other != port]:
                    delayed.append((time.monotonic() + self.delay, to, frame))
            while delayed and delayed[0][0] <= time.monotonic():
                _, port, frame = delayed.popleft()
                try:
                    os.write(port, frame)
                except OSError:
                    pass  # lost, as on a wire without a receiver

    def stop(self):
        self.stopped = True
        self.join()
        for port in self.ports:
            os.close(port)


class Hosts:
    """Namespaces `bantam-1` …, whose cables have this rate and a delay in milliseconds."""

    def __init__(self, count, rate, delay=0):
        self.names = [f"bantam-{number}" for number in range(1, count + 1)]
        self.rate = rate
        self.delay = delay
        self.switch = None

    def __enter__(self):
        self.remove()
        if self.delay > 0:
            self.switch = DelayingSwitch(self.names, self.delay / 1000)
        else:
            ip("link", "add", BRIDGE, "type", "bridge")
            ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(self.names, 1):
            ip("netns", "add", name)
            # A connection that is idle between two steps keeps its speed.
            ip("netns", "exec", name, "sysctl", "-q", "net.ipv4.tcp_slow_start_after_idle=0")
            if self.switch:
                # Long frames, of which the switch has fewer to pass.
                ip("link", "set", name, "netns", name, "name", "eth0", "mtu", 9000)
            else:
                ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
                ip("link", "set", name, "master", BRIDGE, "up")
            ip("-n", name, "addr", "add", f"{NETWORK}{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
            ip("netns", "exec", name, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", self.rate, "burst",
               "16kb", "latency", "200ms")
        if self.switch:
            self.switch.start()
        return self

    def __exit__(self, *_):
        if self.switch:
            self.switch.stop()
        self.remove()

    def remove(self):
        for name in self.names:
            ip("link", "del", name, check=False)  # a deleted namespace keeps its end for a while
            ip("netns", "del", name, check=False)
        ip("link", "del", BRIDGE, check=False)

    def run(self, command):
        """The output of the command as one rank per namespace."""
        with tempfile.TemporaryDirectory() as folder:
            # Starts a process on a host, as ssh would. The names of the hosts are known in the namespaces alone.
            hosts = Path(folder, "hosts")
            hosts.write_text("127.0.0.1 localhost\n" + "".join(
                f"{NETWORK}{number} {name}\n" for number, name in enumerate(self.names, 1)))
            agent = Path(folder, "agent")
            agent.write_text('#!/bin/sh\nhost=$1\nshift\nexec ip netns exec "$host" unshare -um sh -c '
                             f'"mount --bind {hosts} /etc/hosts; hostname $host; $*"\n')
            agent.chmod(0o755)
            environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
            mpirun = ["mpirun", "-n", len(self.names), "-H", ",".join(self.names), "--mca", "plm_rsh_agent", agent,
                      "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "eth0", "--mca", "oob_tcp_if_include",
                      "eth0", "--bind-to", "none",
                      # Ranks that share a core must not spin while they wait.
                      "--mca", "mpi_yield_when_idle", int(len(self.names) > os.cpu_count()), *command]
            return subprocess.run([agent, self.names[0], *map(str, mpirun)], env=environment, check=True,
                                  capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rates", nargs="+", default=["100mbit", "1gbit", "10gbit"])
    parser.add_argument("--delays", nargs="+", type=float, default=[0], metavar="MS")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    print("| ranks | rate | delay, ms | latency, µs | MB/s | predicted, ms | measured, ms |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for rate, delay in itertools.product(options.rates, options.delays):
        with Hosts(options.ranks, rate, delay) as hosts:
            found = json.loads(hosts.run([options.program.resolve(), "--repeats", options.repeats]))
        print(f"| {options.ranks} | {rate} | {delay:g} | {found['latency_us']} | {found['megabytes_per_second']} | "
              f"{found['predicted_ms']} | {found['measured_ms']} |", flush=True)


if __name__ == "__main__":
    main()
