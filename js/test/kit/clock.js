// A script of a mini program: when it is, before and after so many seconds.
module.exports = (seconds, then) => {
  const at = new Date().getTime();
  setTimeout(() => then(at, Date.now()), seconds * 1000);
};
