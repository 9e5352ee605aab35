// Owns where the package's own files are. The build puts code together into files whose places differ from the
// sources'; all of them, like this source, are two folders below the top.

/** The package's top folder. */
export const PACKAGE_ROOT = new URL('../../', import.meta.url)

/** A file that the build writes, named from `dist`: an entry that is started or loaded by its place. */
export function builtFile(path: string): URL {
  return new URL(`dist/${path}`, PACKAGE_ROOT)
}
