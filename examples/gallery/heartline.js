/** The client and the dialects, as one module for pages. */
export * from "/heartline/index.js";
export * from "/heartline/dialects.js";
