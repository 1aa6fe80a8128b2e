/** Whether moves between states are checked: true in tests, false in what is shipped. */
declare const CHECKED: boolean;
