/** Type-checks files of the checkout as a user's project would be, against what is built. */

import { join, relative } from 'node:path';
import ts from 'typescript';
import { root } from './tree.js';

/** The options of a strict user project. `outDir` unset: nothing is written. */
export function compilerOptions(outDir?: string): ts.CompilerOptions {
  return {
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    moduleDetection: ts.ModuleDetectionKind.Force,
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: true,
    ...(outDir === undefined ? { noEmit: true } : { outDir, rootDir: join(root, 'build/snippets') }),
  };
}

/** Compiles `files` and returns what is wrong, as `path:line: TSnnnn message`. */
export function compile(files: readonly string[], outDir?: string): string[] {
  const host = ts.createCompilerHost(compilerOptions(outDir));
  host.getCurrentDirectory = () => root;
  const program = ts.createProgram(files, compilerOptions(outDir), host);
  const diagnostics = [
    ...ts.getPreEmitDiagnostics(program),
    ...(outDir === undefined ? [] : program.emit().diagnostics),
  ];
  return diagnostics.map(({ file, start, code, messageText }) => {
    const text = ts.flattenDiagnosticMessageText(messageText, ' ');
    if (file === undefined || start === undefined) return `TS${code} ${text}`;
    const { line } = file.getLineAndCharacterOfPosition(start);
    return `${relative(root, file.fileName)}:${line + 1}: TS${code} ${text}`;
  });
}

/** Names a declaration file exports without any documentation, neither where they are declared nor where re-exported. */
export function undocumentedExports(declarationFile: string): string[] {
  const program = ts.createProgram([declarationFile], compilerOptions());
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(declarationFile);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${declarationFile} is not a module`);
  const exported = checker.getExportsOfModule(module);
  if (exported.length === 0) throw new Error(`${declarationFile} exports nothing`);
  return exported
    .filter((symbol) => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      return [symbol, target].every((s) => ts.displayPartsToString(s.getDocumentationComment(checker)).trim() === '');
    })
    .map((symbol) => symbol.name);
}

/** Places in a JavaScript module where it awaits at the top level, which would break `require`. */
export function topLevelAwaits(file: string, text: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true, ts.ScriptKind.JS);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node)) return;
    const waits = ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier !== undefined);
    if (waits) found.push(`${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
