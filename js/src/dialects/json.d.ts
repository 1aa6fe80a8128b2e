/** Files that the build puts in, where the compiler does not look at them. */
declare module "*.json" {
  const content: unknown;
  export default content;
}
