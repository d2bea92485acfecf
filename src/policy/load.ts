import { existsSync } from 'node:fs';
import protobuf from 'protobufjs';
import { parseSubjectPattern } from '../pattern.js';
import { digestOf } from './digest.js';
import { protobufEsName } from './spelling.js';
import { compileTemplate } from './template.js';
import type { Policy } from './types.js';
export type PolicySource = { protos: string[]; includeDirs?: string[] };
export async function loadPolicy(source: PolicySource): Promise<Policy> {
  const root = new protobuf.Root();
  root.resolvePath = (_o: string, t: string) =>
    [
      t,
      new URL('../../node_modules/protobufjs/' + t, import.meta.url).pathname,
      ...(source.includeDirs ?? []).map((d) => `${d}/${t}`),
    ].find((p) => existsSync(p)) ?? t;
  await root.load(source.protos, { keepCase: true });
  root.resolveAll();
  const rules = new Map<string, any>();
  const model = (t: protobuf.Type): any => ({
    typeName: t.fullName.slice(1),
    fields: new Map(
      t.fieldsArray.map((f) => [
        f.name,
        {
          name: f.name,
          localName: protobufEsName(f.name),
          number: f.id,
          kind:
            f.resolvedType instanceof protobuf.Type
              ? 'message'
              : f.type === 'string'
                ? 'string'
                : /int/.test(f.type)
                  ? 'integer'
                  : 'other',
          repeated: f.repeated,
          oneof: f.partOf?.name ?? null,
          message: f.resolvedType instanceof protobuf.Type ? () => model(f.resolvedType as protobuf.Type) : null,
          enumNames: null,
          sensitive: false,
        },
      ]),
    ),
  });
  const walk = (ns: protobuf.NamespaceBase): void => {
    for (const n of ns.nestedArray) {
      if (n instanceof protobuf.Service)
        for (const m of n.methodsArray) {
          m.resolve();
          const o: any = (m.parsedOptions as any)?.map((x: any) => x['(zerotrust.v1.method)']).find(Boolean) ?? {};
          const req = o.require ? [o.require].flat() : [];
          const method = `/${n.fullName.slice(1)}/${m.name}`;
          rules.set(method, {
            method,
            requestStream: !!m.requestStream,
            responseStream: !!m.responseStream,
            mode: req.length ? 'require' : o.authenticated ? 'authenticated' : 'mtls_only',
            because: o.authenticated ?? o.mtls_only ?? null,
            checks: req.map((c: any) => ({
              permission: c.permission,
              resource: c.resource ?? null,
              template: c.resource ? compileTemplate(c.resource, model(m.resolvedRequestType as protobuf.Type)) : null,
            })),
            callers: o.callers ? [[o.callers].flat().map((t: string) => parseSubjectPattern(t))] : [],
            delegation: {
              undefined: 'forbidden',
              DELEGATION_MODE_ALLOWED: 'allowed',
              DELEGATION_MODE_REQUIRED: 'required',
            }[String(o.delegation?.mode)],
            singleUse: o.token_use === 'TOKEN_USE_SINGLE_USE',
            maxTokenAgeMs: o.max_token_age ? o.max_token_age.seconds * 1000 : null,
            maxStreamAgeMs: null,
            audit: { level: 'all', required: false },
          });
        }
      else if (n instanceof protobuf.Namespace) walk(n);
    }
  };
  walk(root);
  return { rules, digest: digestOf(rules as any) };
}
