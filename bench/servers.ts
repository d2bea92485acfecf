/**
 * The servers that are compared. Each runs in a process of its own, so that its CPU time is its own.
 *
 * @module
 */

import * as grpc from '@grpc/grpc-js';
import { createServerGuard, loadPolicy, pinoAudit, staticIdentity } from 'grpc-zero-trust';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { GET_TASK, INCLUDE_DIRS, PROTO, SERVER_ID, TaskService } from './service.js';

/** What the measuring process tells a server. */
export interface ServerSetup {
  readonly kind: ServerKind;
  readonly identity: {
    readonly certificate: string;
    readonly privateKey: string;
    readonly bundles: Record<string, string>;
  };
  readonly issuer: string;
  readonly jwks: JSONWebKeySet;
  readonly auditFile: string;
}

/** `bare`: grpc-js over mutual TLS. `handWritten`: with an interceptor that calls `jose.jwtVerify` on each call. */
export type ServerKind = 'bare' | 'guarded' | 'handWritten';

interface Task {
  readonly project_id: string;
  readonly task_id: string;
  readonly title: string;
}

const getTask: grpc.handleUnaryCall<Task, Task> = (call, callback) => callback(null, call.request);

function mutualTls({ identity }: ServerSetup): grpc.ServerCredentials {
  const roots = Buffer.from(Object.values(identity.bundles).join('\n'));
  const pair = { private_key: Buffer.from(identity.privateKey), cert_chain: Buffer.from(identity.certificate) };
  return grpc.ServerCredentials.createSsl(roots, [pair], true);
}

/** What teams write today: verify the token on each call, compare the binding, look for the permission. */
function handWritten({ issuer, jwks }: ServerSetup): grpc.ServerInterceptor {
  const keys = createLocalJWKSet(jwks);
  return (_method, call) => {
    let rights: { actions: string[]; resources: string[] }[] = [];
    let pass: ((metadata: grpc.Metadata) => void) | null = null;
    const refuse = (details: string): void => call.sendStatus({ code: grpc.status.UNAUTHENTICATED, details });
    const listener = new grpc.ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        pass = next;
        const token = String(metadata.get('authorization')[0] ?? '').slice('Bearer '.length);
        jwtVerify(token, keys, { issuer, audience: SERVER_ID, typ: 'at+jwt', algorithms: ['ES256'] }).then(
          ({ payload }) => {
            const bound = (payload.cnf as { 'x5t#S256'?: string } | undefined)?.['x5t#S256'];
            rights = payload.authorization_details as typeof rights;
            if (bound === undefined || !rights.some(({ actions }) => actions.includes('tasks.task.read')))
              refuse('refused');
            else pass?.(metadata);
          },
          () => refuse('refused'),
        );
      })
      .withOnReceiveMessage((message: Task, next) => {
        const wanted = `projects/${message.project_id}/tasks/`;
        if (rights.some(({ resources }) => resources.some((one) => one.replace('**', '') === wanted))) next(message);
        else refuse('refused');
      })
      .build();
    const responder = new grpc.ResponderBuilder().withStart((next) => next(listener)).build();
    return new grpc.ServerInterceptingCall(call, responder);
  };
}

async function start(setup: ServerSetup): Promise<number> {
  let server: grpc.Server;
  let credentials: grpc.ServerCredentials;
  if (setup.kind === 'guarded') {
    const guard = await createServerGuard({
      identity: await staticIdentity(setup.identity),
      policy: await loadPolicy({ protos: [PROTO], includeDirs: INCLUDE_DIRS }),
      tokens: {
        issuers: [
          {
            issuer: setup.issuer,
            keys: setup.jwks,
            subjects: ['spiffe://acme.example/**'],
            permits: [{ actions: ['tasks.*'], resources: ['**'] }],
            grants: 'authorization_details',
          },
        ],
      },
      audit: pinoAudit({ destination: setup.auditFile }),
      unsafeAllowTestAuthority: true,
    });
    server = new grpc.Server({ interceptors: [guard.interceptor] });
    credentials = guard.credentials;
  } else {
    server = new grpc.Server(setup.kind === 'handWritten' ? { interceptors: [handWritten(setup)] } : {});
    credentials = mutualTls(setup);
  }
  server.addService(
    { GetTask: TaskService.service[GET_TASK] as grpc.MethodDefinition<Task, Task> },
    { GetTask: getTask },
  );
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
  });
}

process.on('message', (message: ServerSetup | 'cpu') => {
  if (message === 'cpu') {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpu: user + system });
  } else {
    start(message).then(
      (port) => process.send?.({ port }),
      (error: unknown) => process.send?.({ error: String(error) }),
    );
  }
});
process.on('disconnect', () => process.exit(0));
