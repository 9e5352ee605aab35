// Owns how a function that a role names is found again: by its name as it is, and its types however they are spaced.

/** Channels stand among the functions, such as `$channel.listen(or ders)`: what is in their brackets is a name. */
const CHANNELS = '$channel.'

/** What `app.rank( text, int )` and `app.rank(text,int)` share. A space in the name itself makes another function. */
export function functionKey(signature: string): string {
  const at = signature.lastIndexOf('(')
  if (at < 0 || signature.startsWith(CHANNELS)) return signature
  return signature.slice(0, at) + signature.slice(at).replaceAll(' ', '')
}
