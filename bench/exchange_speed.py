#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The exchanges of a training step between ranks in network namespaces of this machine, with a limited rate, beside the
cost model of docs/scaling.md. Needs root, mpirun, ip and tc.

    bench/exchange_speed.py build/release/bench/exchange_speed [--ranks 2] [--rates 100mbit 1gbit 10gbit]

Prints a row of a table per rate. A rank has a namespace, a host name and one end of a virtual cable to a bridge.
"""
import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

BRIDGE = "bantam0"
NETWORK = "10.78.0."


def ip(*words, check=True):
    subprocess.run(["ip", *map(str, words)], check=check, capture_output=not check)


class Hosts:
    """Namespaces `bantam-1` …, whose cables carry `rate`."""

    def __init__(self, count, rate):
        self.names = [f"bantam-{number}" for number in range(1, count + 1)]
        self.rate = rate

    def __enter__(self):
        self.remove()
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(self.names, 1):
            ip("netns", "add", name)
            ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", name, "master", BRIDGE, "up")
            ip("-n", name, "addr", "add", f"{NETWORK}{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
            ip("netns", "exec", name, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", self.rate, "burst",
               "16kb", "latency", "200ms")
        return self

    def __exit__(self, *_):
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
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    print("| ranks | rate | latency, µs | MB/s | predicted, ms | measured, ms |")
    print("|---:|---|---:|---:|---:|---:|")
    for rate in options.rates:
        with Hosts(options.ranks, rate) as hosts:
            found = json.loads(hosts.run([options.program.resolve(), "--repeats", options.repeats]))
        print(f"| {options.ranks} | {rate} | {found['latency_us']} | {found['megabytes_per_second']} | "
              f"{found['predicted_ms']} | {found['measured_ms']} |", flush=True)


if __name__ == "__main__":
    main()
