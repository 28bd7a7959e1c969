import { describeFault, type EndNumber, type Fault } from './plan.js';
import { type EndState, lineOf, type NodeState, type Stage } from './stage.js';

export function beginFault(stage: Stage, fault: Fault): void {
  stage.say(`fault at ${describeFault(fault)}`);
  const lift = apply(stage, fault);
  stage.loop.unsettle();
  if (lift === undefined) return;
  stage.loop.clock.after(fault.forMs, () => {
    stage.say(`over: ${fault.kind}`);
    lift();
    stage.loop.unsettle();
  });
}

/** @returns what ends the fault */
function apply(stage: Stage, fault: Fault): (() => void) | undefined {
  if ('end' in fault) return endFault(stage, fault, stage.ends[fault.end % stage.ends.length]!);
  if ('node' in fault) return nodeFault(stage, fault.kind, stage.nodes[fault.node % stage.nodes.length]!);
  if (fault.kind === 'partition') return partition(stage);
  visit(stage, fault);
  return undefined;
}

/** Each site comes to one of two sides. */
function partition({ nodes, ends, random }: Stage): () => void {
  const sites = [...nodes, ...ends].map(({ host }) => host.site);
  for (const site of sites) site.side = random() < 0.5 ? 0 : 1;
  return () => {
    for (const site of sites) site.side = 0;
  };
}

function nodeFault(
  stage: Stage,
  kind: 'kill-node' | 'freeze-node',
  node: NodeState,
): (() => void) | undefined {
  const own = node.process;
  if (own === undefined) return undefined;
  if (kind === 'freeze-node') {
    own.freeze();
    return () => own.thaw();
  }
  stage.died(own);
  own.kill();
  node.process = undefined;
  return () => stage.restartNode(node);
}

function endFault(stage: Stage, fault: Extract<Fault, { end: EndNumber }>, end: EndState) {
  const { site } = end.host;
  const own = end.process;
  switch (fault.kind) {
    case 'kill':
    case 'stop':
    case 'fresh':
    case 'forgetful':
      end.down++;
      if (fault.kind === 'fresh') end.identity = undefined;
      if (fault.kind === 'fresh' || fault.kind === 'forgetful') end.places = [];
      if (fault.kind === 'stop') void stage.stop(end);
      else stage.kill(end);
      return () => {
        if (--end.down === 0) stage.startEnd(end);
      };
    case 'freeze':
      own?.freeze();
      return () => own?.thaw();
    case 'move':
      if (site.nat === undefined) end.host.setIps([stage.freshIp()]);
      else site.setPublicIp(stage.freshIp());
      return undefined;
    case 'cut':
      site.cuts++;
      return () => void site.cuts--;
    case 'no-udp':
      site.udpBlocks++;
      return () => void site.udpBlocks--;
    case 'nat-restart':
      site.restartNat();
      return undefined;
    case 'full-disk':
      end.fullDisks++;
      return () => void end.fullDisks--;
    case 'clock-jump':
      end.host.wallOffsetMs += (stage.random() - 0.5) * 7_200_000;
      return undefined;
    case 'loss':
      return site.lose(fault.loss);
    case 'flood':
      return flood(stage, end, fault.forMs);
  }
}

/** Junk from a stranger, a thousand datagrams a second. */
function flood(stage: Stage, end: EndState, forMs: number): undefined {
  const stranger = stage.net.site({ line: lineOf(1) }).host(stage.freshIp());
  const { sockets } = end.process ?? {};
  const port = sockets?.udpPort ?? 0;
  const ip = end.host.site.nat === undefined ? end.host.ips[0]! : end.host.site.publicIp;
  for (let ms = 0; ms < Math.min(forMs, 3_000); ms++) {
    stage.loop.clock.after(ms, () => {
      const junk = new Uint8Array(20 + Math.floor(stage.random() * 200));
      for (let i = 0; i < junk.length; i++) junk[i] = stage.random() * 256;
      stranger.sendUdp(1234, junk, { ip, port });
    });
  }
  return undefined;
}

/** A connector that stays for some seconds. */
function visit(stage: Stage, { leaves, withoutUdp, forMs }: Extract<Fault, { kind: 'visitor' }>): void {
  const { own, started } = stage.startVisitor(`visitor ${stage.everyProcess.size}`, !withoutUdp);
  started.then((connector) => {
    stage.watch(connector, own);
    own.machine.timers.set(() => {
      stage.say(`${own.name} leaves`);
      const gone = (): void => {
        stage.died(own);
        own.kill();
      };
      if (leaves === 'killed') gone();
      else void connector.close().then(gone);
    }, 3_000 + forMs);
  }, stage.failed);
}
