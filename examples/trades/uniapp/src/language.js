/** English, or Chinese where the device speaks it. */

import { text } from "@shared/texts.js";

const language = () => (/^zh/i.test(uni.getLocale()) ? 1 : 0);

/** A text in the device's language. */
export const t = (key, values) => text(key, language(), values);
