/**
 * Names as other libraries make them.
 *
 * @module
 */

/** The property that proto-loader (protobufjs) makes of a field name without `keepCase`: `project_id` gives `projectId`. */
export function protoLoaderName(name: string): string {
  return name.slice(0, 1) + name.slice(1).replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
