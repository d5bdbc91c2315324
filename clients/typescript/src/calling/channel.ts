/** The connections to the gateway: always TLS, and following their files, so that short-lived certificates may rotate. */

import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { CredentialService } from "../gen/remit/v1/credential_service_pb.js";
import { connected, contextOf, stampsOf, type TlsFiles } from "./tls.js";

// A gateway, or a way to it, that is gone without a word is noticed while a call runs or a task is watched. Not oftener:
// gateways take more than one ping in 20 seconds for an attack.
const PINGS = { pingIntervalMs: 25_000, pingTimeoutMs: 10_000, connectTimeoutMs: 20_000 };
const LARGEST_MESSAGE = 4 * 1024 * 1024;

/** The client of one connection. */
export type Stub = Client<typeof CredentialService>;

interface Connection {
  readonly stub: Stub;
  readonly session: Http2SessionManager;
}

/** Opens connections, and other ones when the files of the first have changed. */
export class TlsChannel {
  readonly target: string;
  readonly #files: TlsFiles;
  #stamps: string;
  #calling: Connection;
  #watching: Connection;
  #isClosed = false;

  constructor(target: string, files: TlsFiles) {
    this.target = target;
    this.#files = files;
    this.#stamps = stampsOf(files);
    [this.#calling, this.#watching] = this.#opened();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Returns what to call with now; throws once closed. */
  calling(): Stub {
    this.#follow();
    return this.#calling.stub;
  }

  /** Returns what to watch with now, on a connection that keeps no program from ending; throws once closed. */
  watching(): Stub {
    this.#follow();
    return this.#watching.stub;
  }

  /** Ends the connections; calls that are running fail. */
  close(): void {
    this.#isClosed = true;
    this.#calling.session.abort();
    this.#watching.session.abort();
  }

  /**
   * Opens new connections when a file has changed.
   *
   * While files cannot be read or do not belong together, as in the midst of a rotation, what was before them holds.
   */
  #follow(): void {
    if (this.#isClosed) {
      throw new Error("this gateway is closed: keep it open for as long as its tasks run");
    }
    try {
      const stamps = stampsOf(this.#files);
      if (stamps !== this.#stamps) {
        // The old ones are not closed: calls that are running keep them until they end, then they are idle and close.
        [this.#calling, this.#watching] = this.#opened();
        this.#stamps = stamps;
      }
    } catch {
      // as before
    }
  }

  #opened(): [Connection, Connection] {
    const context = contextOf(this.#files);
    const open = (isQuiet: boolean): Connection => {
      const baseUrl = `https://${this.target}`;
      const session = new Http2SessionManager(baseUrl, PINGS, {
        createConnection: (authority) => connected(authority, context, isQuiet),
      });
      const options = { baseUrl, sessionManager: session, readMaxBytes: LARGEST_MESSAGE, acceptCompression: [] };
      return { stub: createClient(CredentialService, createGrpcTransport(options)), session };
    };
    return [open(false), open(true)];
  }
}
