// Checks Kubernetes objects against the published schemas of their kinds.
//
// Called as `schemas.mjs PACKAGES OBJECTS`: the directory with `node_modules`, and a file with a list of
// `{name, object}`. Prints a line for each fault; ends with 1 when there is one.
//
// Each object is looked at twice. The schemas at run time know patterns, lengths and bounds, and let unknown keys
// pass, as the API server does before it drops them. The declarations of the same packages do not: an object that
// is written as a literal of its type may have no key that the type does not have.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [packages, objectsFile] = process.argv.slice(2);
const ts = createRequire(join(packages, "package.json"))("typescript");

const PACKAGES = {
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "gateway.envoyproxy.io": "@kubernetes-models/envoy-gateway",
  "networking.istio.io": "@kubernetes-models/istio",
  "extensions.istio.io": "@kubernetes-models/istio",
  "security.istio.io": "@kubernetes-models/istio",
  "cert-manager.io": "@kubernetes-models/cert-manager",
};

// What no package has yet, made of what one has. A TrafficExtension is a WasmPlugin whose module stands under
// `wasm` and is called as before; what says where and when it counts has stayed at the top.
const DERIVED = {
  "extensions.istio.io/v1alpha1/TrafficExtension": {
    from: "WasmPlugin",
    type: (plugin) => `
type Place = "selector" | "targetRefs" | "phase" | "priority" | "match";
type Derived = Omit<${plugin}, "kind" | "spec"> & {
  kind: "TrafficExtension";
  spec: Pick<NonNullable<${plugin}["spec"]>, Place> & {
    wasm: Omit<NonNullable<${plugin}["spec"]>, Place | "verificationKey">;
  };
};`,
    object: ({ spec: { wasm, ...place }, ...rest }) => ({ ...rest, kind: "WasmPlugin", spec: { ...place, ...wasm } }),
  },
};

/** Where the model of a kind is, and how it is made of another one. */
function model({ apiVersion, kind }) {
  const derived = DERIVED[`${apiVersion}/${kind}`];
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  const place = PACKAGES[group] ?? "kubernetes-models";
  const file = join(packages, "node_modules", place, group, version, `${derived?.from ?? kind}.js`);
  return { file, name: derived?.from ?? kind, derived };
}

/** Text that is a literal of the object's type. */
function literal({ object }) {
  const { file, name, derived } = model(object);
  const type = derived ? "Derived" : `I${name}`;
  const declarations = derived ? derived.type(`I${name}`) : "";
  const value = JSON.stringify(object, null, 1);
  return `import { I${name} } from ${JSON.stringify(file)};${declarations}\nexport const object: ${type} = ${value};\n`;
}

/** The path of the key or value at a position of a literal. */
function pathAt(source, position) {
  const path = [];
  let node = source;
  for (;;) {
    const next = ts.forEachChild(node, (child) =>
      child.getFullStart() <= position && position < child.getEnd() ? child : undefined,
    );
    if (!next) {
      return path.join(".");
    }
    if (ts.isPropertyAssignment(next)) {
      path.push(next.name.text);
    } else if (ts.isArrayLiteralExpression(node)) {
      path.push(node.elements.indexOf(next));
    }
    node = next;
  }
}

/** Faults of the shape: unknown keys, those that are missing, types. */
function faultsOfShape(entries) {
  const texts = new Map(entries.map((entry, index) => [join(packages, `object-${index}.ts`), literal(entry)]));
  const options = { strict: true, noEmit: true, skipLibCheck: true, types: [], target: ts.ScriptTarget.ES2022 };
  options.module = ts.ModuleKind.NodeNext;
  options.moduleResolution = ts.ModuleResolutionKind.NodeNext;
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists, getSourceFile } = host;
  host.readFile = (file) => texts.get(file) ?? readFile(file);
  host.fileExists = (file) => texts.has(file) || fileExists(file);
  host.getSourceFile = (file, ...rest) =>
    texts.has(file) ? ts.createSourceFile(file, texts.get(file), ...rest) : getSourceFile(file, ...rest);
  const program = ts.createProgram([...texts.keys()], options, host);
  const names = new Map([...texts.keys()].map((file, index) => [file, entries[index].name]));
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, " ").replace(/\s+/g, " ");
    if (!names.has(diagnostic.file?.fileName)) {
      return `the packages: ${diagnostic.file?.fileName}: ${message}`;
    }
    return `${names.get(diagnostic.file.fileName)}: ${pathAt(diagnostic.file, diagnostic.start)}: ${message}`;
  });
}

/** Faults of the values: patterns, lengths, bounds. */
async function faultsOfValues(entries) {
  const faults = [];
  for (const { name, object } of entries) {
    const { file, name: kind, derived } = model(object);
    const { [kind]: Model } = await import(pathToFileURL(file));
    try {
      new Model(derived ? derived.object(object) : object).validate();
    } catch (error) {
      faults.push(`${name}: ${error.message}`);
    }
  }
  return faults;
}

/** Each entry whose kind has a schema, and a fault for every other one. */
function known(entries) {
  const faults = [];
  const found = entries.filter(({ name, object }) => {
    try {
      readFileSync(model(object).file);
      return true;
    } catch {
      faults.push(`${name}: no schema is known of ${object.apiVersion} ${object.kind}`);
      return false;
    }
  });
  return [found, faults];
}

const [entries, unknown] = known(JSON.parse(readFileSync(objectsFile, "utf8")));
const faults = [...unknown, ...faultsOfShape(entries), ...(await faultsOfValues(entries))];
faults.forEach((fault) => console.log(fault));
process.exitCode = faults.length > 0 ? 1 : 0;
