/**
 * The part of the WebAssembly global that we use. TypeScript declares it only in its browser types, which do
 * not belong in a Node package.
 */
declare const moduleBrand: unique symbol;

/** Compiled wasm, which can be posted to another thread. */
export interface WasmModule {
  readonly [moduleBrand]: never;
}

export interface WasmMemoryObject {
  readonly buffer: ArrayBuffer;
}

export type WasmImports = Readonly<Record<string, Readonly<Record<string, (...args: never[]) => unknown>>>>;

interface WasmApi {
  readonly Module: {
    new (bytes: Uint8Array): WasmModule;
    exports(module: WasmModule): readonly { readonly name: string; readonly kind: string }[];
    imports(module: WasmModule): readonly { readonly module: string; readonly name: string }[];
  };
  readonly Instance: new (
    module: WasmModule,
    imports: WasmImports,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
}

// Every supported Node version has this global; only its types are missing.
export const wasmApi = (globalThis as unknown as { readonly WebAssembly: WasmApi }).WebAssembly;
