/** A picture of the person's own, small enough to travel in a message. */

const LARGEST = 800; // pixels
const MOST = 300_000; // characters of the data: URL; the server takes 400,000

/** A JPEG as data: URL. Rejects for what is no picture. */
export async function shrink(file) {
  const bitmap = await createImageBitmap(file);
  try {
    for (let size = LARGEST; ; size /= 2) {
      const scale = Math.min(1, size / Math.max(bitmap.width, bitmap.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.max(1, Math.round(bitmap.width * scale));
      canvas.height = Math.max(1, Math.round(bitmap.height * scale));
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#ffffff"; // where the picture is transparent
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      const url = canvas.toDataURL("image/jpeg", 0.8);
      if (url.length <= MOST || size < 50) return url;
    }
  } finally {
    bitmap.close();
  }
}
