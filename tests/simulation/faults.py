"""How each fault that happens at an instant is brought about, and ended."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from searchd.domain.failure import Failure
from searchd.ports.engine import LossCause, WorkerId
from tests.simulation.disk import Disk
from tests.simulation.plan import Fault
from tests.simulation.servers import Server
from tests.simulation.stage import Stage
from tests.simulation.workers import WorldCluster

AIMED = 0.4
"""The share of faults that wait until a confirmation, a test or a descendant is under way."""

LONGEST_AIM_SECONDS = 10.0
"""For so long after all others they do."""


class Faults:
    """Brings about the faults of a plan, each at its time; all have ended when ``happen`` returns."""

    def __init__(self, stage: Stage, disk: Disk, cluster: WorldCluster, servers: Sequence[Server]) -> None:
        self._stage = stage
        self._disk = disk
        self._cluster = cluster
        self._servers = servers
        self._chance = stage.chance("faults")
        self._cluster_lost = False

    async def happen(self) -> None:
        """Returns when no fault will happen any more, and everything that can be mended is."""
        async with asyncio.TaskGroup() as under_way:
            for at, fault in self._stage.plan.faults:
                await asyncio.sleep(max(0.0, at - self._stage.events.time()))
                under_way.create_task(self._happen(fault))
        self._disk.mood.refuse = self._disk.mood.unsure = 0
        self._disk.mood.stuck.clear()
        for server in self._servers:
            server.resume()
            server.boot()
            server.searchers.failing = 0

    async def _aimed(self) -> None:
        """Wait, but not for long, until something is under way that is rare."""
        until = self._stage.plan.quiet_at + LONGEST_AIM_SECONDS
        while self._stage.events.time() < until and not self._stage.model.rare():
            await asyncio.sleep(self._chance.uniform(0.1, 1.0))

    async def _happen(self, fault: Fault) -> None:
        if self._chance.random() < AIMED:
            await self._aimed()
        mood = self._disk.mood
        match fault:
            case Fault.SERVER_KILLED | Fault.SERVER_PAUSED | Fault.SERVER_LEFT:
                await self._strike(fault, self._chance.choice(self._servers))
            case Fault.COMMIT_REFUSED:
                mood.refuse += self._chance.choice((1, 1, 3))
            case Fault.COMMIT_UNSURE:
                mood.unsure += 1
            case Fault.COMMIT_STUCK:
                mood.stuck.append(self._chance.choice((1.0, 6.0, 15.0)))
            case Fault.STORE_FULL:
                mood.full = True
                await asyncio.sleep(self._chance.uniform(0.1, 8.0))
                mood.full = False
            case Fault.STORE_GONE:
                mood.gone = True
                await asyncio.sleep(self._chance.uniform(0.1, 8.0))
                mood.gone = False
            case Fault.SEARCHER_FAILED:
                for server in self._servers:
                    if server.alive:
                        server.searchers.failing += 1
            case Fault.CLOCK_SET:
                self._stage.clock_offset += timedelta(seconds=self._chance.choice((-7200, -30, 30, 7200)))
                self._stage.fired(fault, str(self._stage.clock_offset))
            case Fault.WORKER_KILLED | Fault.WORKER_PREEMPTED | Fault.WORKER_SILENT | Fault.NODE_LOST:
                await self._strike_workers(fault)
            case Fault.CLUSTER_LOST:
                await self._lose_cluster()
            case _:
                raise ValueError(f"{fault} happens at no instant")

    async def _strike(self, fault: Fault, server: Server) -> None:
        """Stop a server at some point of what it is doing, and have it back later."""
        process = server.process
        if process is None or not process.alive:
            return
        if fault is Fault.SERVER_KILLED:
            process.fuse = self._chance.choice((0, 1, 2, 3, 5, 8, 13, 21))
            process.burnt = server.kill
            await asyncio.sleep(self._chance.uniform(0.1, 8.0))
            server.kill()
            server.boot()
        elif fault is Fault.SERVER_PAUSED:
            process.fuse = self._chance.choice((0, 1, 2, 3, 5, 8, 13, 21))
            process.burnt = server.pause
            await asyncio.sleep(self._chance.choice((0.5, 3.0, 6.0, 12.0)))
            process.fuse = None
            server.resume()
        else:
            server.leave()
            await asyncio.sleep(self._chance.uniform(4.0, 8.0))
            server.kill()
            server.boot()

    async def _strike_workers(self, fault: Fault) -> None:
        cluster = self._cluster
        name = await self._some_worker()
        if name is None:
            return
        match fault:
            case Fault.WORKER_KILLED:
                self._stage.model.killed(name)
                cluster.kill(name)
                self._stage.fired(fault, name)
            case Fault.WORKER_PREEMPTED:
                cluster.preempt(name)
                self._stage.fired(fault, name)
            case Fault.WORKER_SILENT:
                cluster.cut_off(name)
                self._stage.fired(fault, name)
                await asyncio.sleep(self._chance.choice((0.5, 3.0, 9.0)))
                cluster.reconnect(name)
            case _:
                if len(cluster.nodes) > 1 or self._chance.random() < 0.3:
                    await self._lose_node()

    async def _some_worker(self) -> WorkerId | None:
        """One that lives, rather one that trains; None if none comes to do so soon."""
        cluster = self._cluster
        for _ in range(20):
            busy = [name for name in cluster.workers() if cluster.running(name) is not None]
            if busy:
                return self._chance.choice(busy)
            await asyncio.sleep(0.2)
        names = cluster.workers()
        return self._chance.choice(names) if names else None

    async def _lose_node(self) -> None:
        cluster = self._cluster
        if not cluster.nodes:
            return
        lost = self._chance.choice(cluster.nodes)
        self._stage.fired(Fault.NODE_LOST, lost.name)
        cluster.lose_node(lost.name)
        await asyncio.sleep(self._chance.uniform(0.0, 5.0))
        if not self._cluster_lost:
            cluster.resize(sorted({*cluster.nodes, lost}, key=lambda node: node.name))

    async def _lose_cluster(self) -> None:
        """Lose Ray's control service: every worker is gone, and there are no nodes until it is back."""
        cluster = self._cluster
        if self._cluster_lost:
            return
        self._cluster_lost = True
        self._stage.fired(Fault.CLUSTER_LOST)
        for name in cluster.workers():
            cluster.kill(name, LossCause.DIED, "the control service was lost", Failure.NODE_LOST)
        cluster.resize(())
        await asyncio.sleep(self._chance.uniform(0.5, 6.0))
        self._cluster_lost = False
        cluster.resize(self._stage.plan.nodes)
