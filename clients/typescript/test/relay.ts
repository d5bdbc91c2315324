/** Stands between a client and its gateway, counts connections and breaks them: a cable cannot be pulled on loopback. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A way to somewhere; with nowhere to go, it hangs up on everybody at once. */
export interface Relay extends AsyncDisposable {
  readonly address: string;
  /** How many connections came. */
  opened(): number;
  /** Breaks every connection there is. */
  hangUp(): void;
}

/** Opens a way to a target, from an address of this machine. */
export async function relay(target?: string, here = "127.0.0.1"): Promise<Relay> {
  const sockets = new Set<Socket>();
  let opened = 0;
  const server = createServer((near) => {
    opened += 1;
    near.on("error", () => undefined);
    if (target === undefined) {
      near.destroy();
      return;
    }
    const [host, port] = target.split(":");
    const far = connect({ host: host ?? "", port: Number(port) });
    far.on("error", () => undefined);
    near.pipe(far).pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  const hangUp = () => {
    for (const socket of sockets) {
      socket.destroy();
    }
  };
  server.listen(0, here);
  await once(server, "listening");
  return {
    address: `${here}:${(server.address() as AddressInfo).port}`,
    opened: () => opened,
    hangUp,
    [Symbol.asyncDispose]: async () => {
      hangUp();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
